"""What a run writes down while it trains: `metrics.jsonl` and TensorBoard events."""

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from made_exp.files import atomic_write_bytes, json_text
from made_exp.reporting.run_settings import cell_text, is_number
from made_exp.runs.folder import RunDirectory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 15
_TEXT_NAMES = ("name", "device", "path")
_LAYOUT = {"MADE": {"NLL, train and valid (nats)": ["Multiline", ["train/nll", "valid/nll"]]}}


class Tracker:
    """Writes metrics and events into a run's own folder.

    TensorBoard is a convenience: whatever goes wrong in it is warned about once, and the run goes
    on with `metrics.jsonl` alone. A failure to write `metrics.jsonl` is an error.

    Args:
        run_dir: The run's folder; the events go directly into it, so that the run's name in
            TensorBoard is the folder's.
        tensorboard: Whether to write TensorBoard events.
        purge_step: The first step that is going to be written, when a run is resumed: what an
            interrupted run wrote at this step or later is dropped. None for a new run.
    """

    def __init__(
        self, run_dir: str | Path, *, tensorboard: bool = True, purge_step: int | None = None
    ) -> None:
        self._path = RunDirectory(run_dir).metrics
        self._last_step = -1 if purge_step is None else truncate_metrics(self._path, purge_step)
        self._writer: SummaryWriter | None = None
        if tensorboard:
            self._guarded(lambda: self._open(str(run_dir), purge_step))

    def _open(self, run_dir: str, purge_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter  # half a second, only when used

        keep_event_order(Path(run_dir), int(time.time()))
        self._writer = SummaryWriter(run_dir, purge_step=purge_step, flush_secs=_FLUSH_SECONDS)
        self._writer.add_custom_scalars(_LAYOUT)
        self._writer.flush()

    def _guarded(self, write: Callable[[], object]) -> None:
        """Call `write`; if TensorBoard fails, warn and stop using it."""
        try:
            write()
        except Exception as error:  # a log must never end a run
            writer, self._writer = self._writer, None
            message = f"TensorBoard logging stopped: {type(error).__name__}: {error}"
            _log.warning("%s; %s goes on", message, self._path.name)
            with suppress(Exception):  # already reported
                if writer is not None:
                    writer.close()

    def _write(self, write: Callable[["SummaryWriter"], object]) -> None:
        """Hand the writer to `write`, unless there is none."""
        writer = self._writer
        if writer is not None:
            self._guarded(lambda: write(writer))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars by tag, e.g. `{"valid/nll": 83.1}`."""

        def write(writer: "SummaryWriter") -> None:
            for tag, value in values.items():
                writer.add_scalar(tag, float(value), step)

        self._write(write)

    def image(self, tag: str, image: np.ndarray, step: int) -> None:
        """Write one picture: (H, W, 3) uint8, or (C, H, W) floats in [0, 1]."""
        layout = "HWC" if np.asarray(image).dtype == np.uint8 else "CHW"
        self._write(lambda writer: writer.add_image(tag, image, step, dataformats=layout))

    def text(self, tag: str, text: str, step: int = 0) -> None:
        """Write text that is shown as it is, in a block of fixed width."""
        block = "\n".join("    " + line for line in text.splitlines())
        self._write(lambda writer: writer.add_text(tag, block, step))

    def hparams(self, values: Mapping[str, Any]) -> None:
        """Write the run's settings, by dotted name, for the HPARAMS dashboard.

        Only the start of a session is written, and its end by `close`: no description of the
        experiment, because TensorBoard would take the columns of that one run for all runs of a
        sweep, and no sub-run.
        """
        self._write(lambda writer: _write_session(writer, hparam_values(values)))
        self.flush()

    def metrics(self, line: Mapping[str, Any]) -> None:
        """Append one line to `metrics.jsonl`; numbers that are not finite become null.

        Nothing is written if a line of this step or a later one is there.

        Raises:
            OSError: The line cannot be written.
        """
        if line["step"] <= self._last_step:
            return
        content = json_text(dict(line)) + "\n"
        with open(self._path, "ab", buffering=0) as file:  # in one write, or not at all
            if file.write(content.encode()) != len(content):
                raise OSError(f"{self._path}: the disk is full, a line was cut")
        self._last_step = line["step"]

    def flush(self) -> None:
        """Bring what was written so far to disk; call it before a checkpoint is saved."""
        self._write(lambda writer: writer.flush())

    def close(self, is_finished: bool = True) -> None:
        """End the session; only of a run that is finished, for TensorBoard keeps the first end."""
        if is_finished:
            self._write(_write_session)
        self._write(lambda writer: writer.close())
        self._writer = None


def _write_session(writer: "SummaryWriter", values: dict[str, float | str] | None = None) -> None:
    """Write the start of a session with these settings, or its end where there are none."""
    from torch.utils.tensorboard.summary import hparams

    _, start, end = hparams(values or {}, {})
    assert writer.file_writer is not None  # the writer is open
    writer.file_writer.add_summary(end if values is None else start)


@contextmanager
def tracking(
    run_dir: str | Path, *, tensorboard: bool = True, purge_step: int | None = None
) -> Iterator[Tracker]:
    """A `Tracker` that is closed at the end, as completed only if nothing was raised."""
    with _quiet_threads():
        tracker = Tracker(run_dir, tensorboard=tensorboard, purge_step=purge_step)
        try:
            yield tracker
        except BaseException:
            tracker.close(is_finished=False)
            raise
        tracker.close()


@contextmanager
def _quiet_threads() -> Iterator[None]:
    """No traceback from TensorBoard's thread: what it raised, it raises at the next write too."""
    before = threading.excepthook

    def told(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            before(args)

    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before


def truncate_metrics(path: Path, first_step: int) -> int:
    """Drop the lines of `metrics.jsonl` from `first_step` on, and any line that was cut.

    Returns the step of the last line kept; -1 where there is none.
    """
    if not path.exists():
        return -1
    kept = [line for line in path.read_bytes().splitlines(True) if _is_before(line, first_step)]
    atomic_write_bytes(path, b"".join(kept))
    return json.loads(kept[-1])["step"] if kept else -1


def _is_before(line: bytes, first_step: int) -> bool:
    try:
        return line.endswith(b"\n") and json.loads(line)["step"] < first_step
    except (ValueError, KeyError, TypeError):
        return False


def keep_event_order(run_dir: Path, now: int) -> None:
    """Rename earlier event files where needed, so that a file opened at `now` sorts last.

    TensorBoard reads a run's files in the order of their names, which start with the second of
    their making: that is the wrong order for a run resumed within a second, or after the clock
    was set back. `now` is in seconds since 1970.
    """
    stems = ((path, path.name.split(".")) for path in sorted(run_dir.glob("events.out.tfevents.*")))
    earlier = [(path, parts) for path, parts in stems if parts[3].isdigit()]
    if not earlier or int(earlier[-1][1][3]) < now:
        return
    for index, (path, parts) in enumerate(earlier):
        parts[3] = f"{now - len(earlier) + index:010d}"
        path.rename(run_dir / ".".join(parts))


def hparam_values(values: Mapping[str, Any]) -> dict[str, float | str]:
    """Settings as the HPARAMS dashboard needs them: each name always a number or always text.

    A None is left out, or "none" where the others are text by the name's end: a column that mixes
    text and numbers cannot be sorted. Truth values are the text true or false; lists and
    dictionaries are JSON text; an empty dictionary is left out.
    """
    converted: dict[str, float | str] = {}
    for name, value in values.items():
        if is_number(value):
            if math.isfinite(value):
                converted[name] = value
        elif value is None and name.endswith(_TEXT_NAMES):
            converted[name] = "none"
        elif value not in (None, {}):
            converted[name] = cell_text(value)
    return converted
