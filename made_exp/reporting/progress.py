"""How a run shows that it goes on: a live line on a terminal, one line an evaluation elsewhere."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

_REFRESH_SECONDS = 0.25
_SPEED_WINDOW_SECONDS = 10.0


class Progress(ABC):
    """A progress display; made by `make_progress`. Use it as a context."""

    @abstractmethod
    def update(self, step: int, epoch: float, train_nll: Callable[[], float]) -> None:
        """Say that `step` is done; cheap enough to be called after every step.

        Args:
            step: Number of optimizer steps done so far, a resumed run's earlier ones included.
            epoch: Number of passes over the data so far.
            train_nll: Returns the recent training NLL in nats; called only when it is shown, so
                that an accelerator is rarely waited for.
        """

    @abstractmethod
    def evaluated(
        self, step: int, epoch: float, train_nll: float, valid_nll: float, best: bool
    ) -> None:
        """Show an evaluation; `best` where it is the best so far. NLL in nats per example."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Show a line of text without disturbing the display."""

    def close(self) -> None:
        """Leave the terminal as it should be."""
        return

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def make_progress(
    total_steps: int,
    *,
    batch_size: int,
    mode: str = "auto",
    first_step: int = 0,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """The progress display for a run.

    Args:
        total_steps: Optimizer steps after which training ends at the latest.
        batch_size: Examples a step, for the speed.
        mode: "auto" (a live line on a terminal, plain lines elsewhere), "plain" or "off".
        first_step: Steps done before, when a run is resumed.
        stream: Where to write; stderr by default.
        clock: Returns seconds; replaced in tests.

    Raises:
        ValueError: If `mode` is unknown.
    """
    if mode not in ("auto", "plain", "off"):
        raise ValueError(f"mode must be auto, plain or off, got '{mode}'")
    if mode == "off":
        return SilentProgress()
    stream = sys.stderr if stream is None else stream
    pace = Pace(total_steps, batch_size, first_step, clock)
    if mode == "auto" and stream.isatty():
        return TerminalProgress(pace, stream)
    return PlainProgress(pace, stream)


class Pace:
    """Speed over the last seconds, and the time that is left.

    Args:
        total_steps: Steps after which training ends at the latest.
        batch_size: Examples a step.
        first_step: Steps done before.
        clock: Returns seconds.
    """

    def __init__(
        self, total_steps: int, batch_size: int, first_step: int, clock: Callable[[], float]
    ) -> None:
        self.total_steps, self.batch_size, self.first_step = total_steps, batch_size, first_step
        self.clock, self.started = clock, clock()
        self._window = [(self.started, first_step)]

    def advance(self, step: int) -> None:
        """Note that `step` is done now."""
        now = self.clock()
        self._window.append((now, step))
        while len(self._window) > 2 and now - self._window[1][0] > _SPEED_WINDOW_SECONDS:
            self._window.pop(0)

    def examples_per_second(self) -> float:
        """Training examples a second over the last ten seconds."""
        (before, first), (now, last) = self._window[0], self._window[-1]
        return self.batch_size * (last - first) / max(now - before, 1e-9)

    def seconds_left(self, step: int) -> float | None:
        """Seconds to the last step at the pace so far, evaluations included; None if unknown."""
        done = step - self.first_step
        if done <= 0:
            return None
        return (self.clock() - self.started) / done * max(self.total_steps - step, 0)


class SilentProgress(Progress):
    """Shows nothing."""

    def update(self, step: int, epoch: float, train_nll: Callable[[], float]) -> None:
        """Do nothing."""

    def evaluated(
        self, step: int, epoch: float, train_nll: float, valid_nll: float, best: bool
    ) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""


class PlainProgress(Progress):
    """One line an evaluation, for files and pipes.

    Args:
        pace: Measures the speed.
        stream: Where the lines go.
    """

    def __init__(self, pace: Pace, stream: TextIO) -> None:
        self._pace, self._stream, self._last = pace, stream, pace.started

    def update(self, step: int, epoch: float, train_nll: Callable[[], float]) -> None:
        """Measure the speed, at most a few times a second."""
        if self._pace.clock() - self._last >= _REFRESH_SECONDS:
            self._last = self._pace.clock()
            self._pace.advance(step)

    def evaluated(
        self, step: int, epoch: float, train_nll: float, valid_nll: float, best: bool
    ) -> None:
        """Write a line."""
        self._pace.advance(step)
        self.message(evaluation_line(self._pace, step, epoch, train_nll, valid_nll, best))

    def message(self, text: str) -> None:
        """Write a line; a reader that has gone is ignored."""
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe must not end a run
            pass


class TerminalProgress(Progress):
    """One live line below the lines of the evaluations.

    Args:
        pace: Measures the speed.
        stream: The terminal.
    """

    def __init__(self, pace: Pace, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._pace, self._last = pace, pace.started
        self._valid: tuple[float, float] | None = None  # last, best
        # Drawn from `update` itself: no thread competes with the training.
        self._live = Live(console=Console(file=stream), auto_refresh=False, transient=True)
        self._live.start()

    def update(self, step: int, epoch: float, train_nll: Callable[[], float]) -> None:
        """Redraw the line, at most four times a second."""
        if self._pace.clock() - self._last < _REFRESH_SECONDS:
            return
        self._pace.advance(step)
        self._live.update(self._line(step, epoch, train_nll()), refresh=True)
        self._last = self._pace.clock()

    def _line(self, step: int, epoch: float, train_nll: float) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        pace, left = self._pace, self._pace.seconds_left(step)
        nll = f"train {train_nll:.3f}"
        if self._valid is not None:
            nll += f"  valid {self._valid[0]:.3f} (best {self._valid[1]:.3f})"
        speed = f"{pace.examples_per_second():,.0f} examples/s".replace(",", " ")
        parts = [f"epoch {epoch:.1f}", nll, speed, "" if left is None else f"{duration(left)} left"]
        line = Table.grid(padding=(0, 2))
        line.add_column(width=12)
        line.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(pace.total_steps, step, width=12, complete_style="cyan")
        line.add_row(bar, Text("  ".join(parts)))
        return line

    def evaluated(
        self, step: int, epoch: float, train_nll: float, valid_nll: float, best: bool
    ) -> None:
        """Write a line above the live one when the result is the best so far."""
        previous = valid_nll if self._valid is None or best else self._valid[1]
        self._valid = (valid_nll, previous)
        self._pace.advance(step)
        if best:
            self.message(evaluation_line(self._pace, step, epoch, train_nll, valid_nll, best))

    def message(self, text: str) -> None:
        """Write a line above the live one."""
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the live line; the lines above stay."""
        self._live.stop()


def evaluation_line(
    pace: Pace, step: int, epoch: float, train_nll: float, valid_nll: float, best: bool
) -> str:
    """One evaluation as text; a star marks the best so far."""
    speed = f"{pace.examples_per_second():,.0f}".replace(",", " ")
    left = pace.seconds_left(step)
    line = (
        f"epoch {epoch:6.1f}  step {step:>{len(str(pace.total_steps))}}/{pace.total_steps}  "
        f"train {train_nll:.4f}  valid {valid_nll:.4f}{'*' if best else ' '} nats"
    )
    return line if left is None else f"{line}  {speed} examples/s  {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as 42s, 3:07 or 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
