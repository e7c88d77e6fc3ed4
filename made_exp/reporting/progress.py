"""How a run shows that it goes on: a live line on a terminal, one line an evaluation elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

_REFRESH_SECONDS = 0.25
_SPEED_WINDOW_SECONDS = 10.0


class Progress(contextlib.ExitStack):
    """The progress display of a run, a context: steps, NLL in nats, speed and time left.

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

    def __init__(
        self,
        total_steps: int,
        *,
        batch_size: int,
        mode: str = "auto",
        first_step: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "plain", "off"):
            raise ValueError(f"mode must be auto, plain or off, got '{mode}'")
        self.total_steps, self.batch_size, self.first_step = total_steps, batch_size, first_step
        self.stream = stream if stream is not None else sys.stderr
        self.mode, self.clock = mode, clock
        self.live = mode == "auto" and self.stream.isatty()
        # Drawn from `update` itself: no thread competes with the training.
        self.bar = Bar(
            BarColumn(bar_width=12, table_column=Column(width=12)),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            console=Console(file=self.stream),
            auto_refresh=False,
            transient=True,
            disable=not self.live,
            get_time=clock,
            speed_estimate_period=_SPEED_WINDOW_SECONDS,
        )
        self.bar.add_task("", total=total_steps, completed=first_step)
        self.task = self.bar.tasks[0]
        self._last = self._started = clock()
        self._best: float | None = None
        self._valid, self._elapsed = "", 0.0
        if self.live:
            self.enter_context(self.bar)

    def update(
        self, step: int, epoch: float, train_nll: Callable[[], float], elapsed: float = 0.0
    ) -> None:
        """Say that `step` is done; cheap enough to be called after every step.

        Args:
            step: Number of optimizer steps done so far, a resumed run's earlier ones included.
            epoch: Number of passes over the data so far.
            train_nll: Returns the recent training NLL in nats; called only when it is shown, so
                that an accelerator is rarely waited for.
            elapsed: Share of a budget of time that is gone, in 0..1; 0 without one.
        """
        self._elapsed = elapsed
        if self.clock() - self._last < _REFRESH_SECONDS:
            return
        self.bar.update(self.task.id, completed=step)
        if self.live:
            parts = [f"epoch {epoch:.1f}", f"train {train_nll():.3f}{self._valid}", *self._pace()]
            self.bar.update(self.task.id, description="  ".join(parts), refresh=True)
        self._last = self.clock()

    def evaluated(
        self, step: int, epoch: float, train_nll: float, valid_nll: float, best: bool
    ) -> None:
        """Show an evaluation; a star marks the best so far. A live line makes others needless."""
        self.bar.update(self.task.id, completed=step)
        self._best = valid_nll if best or self._best is None else self._best
        self._valid = f"  valid {valid_nll:.3f} (best {self._best:.3f})"
        width = len(str(self.total_steps))
        total = "" if self._elapsed else f"/{self.total_steps}"  # time ends it, not steps
        line = (
            f"epoch {epoch:6.1f}  step {step:>{width}}{total}  "
            f"train {train_nll:.4f}  valid {valid_nll:.4f}{'*' if best else ' '} nats"
        )
        if best or not self.live:
            self.message("  ".join([line, *self._pace()]))

    def message(self, text: str) -> None:
        """Show a line of text without disturbing the display; a reader that has gone is ignored."""
        if self.live:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif self.mode != "off":
            with contextlib.suppress(OSError, ValueError):  # a closed pipe must not end a run
                self.stream.write(text + "\n")
                self.stream.flush()

    def _pace(self) -> list[str]:
        """Speed over the last seconds, and time left at the pace so far, evaluations included."""
        done = self.task.completed - self.first_step
        if done <= 0:
            return []
        seconds = max(self.clock() - self._started, 1e-9)
        speed = self.batch_size * (self.task.speed or done / seconds)
        share = max(done / max(self.total_steps - self.first_step, 1), self._elapsed)
        left = duration(seconds / share * max(1 - share, 0))
        return [f"{speed:,.0f} examples/s".replace(",", " "), f"{left} left"]


def duration(seconds: float) -> str:
    """Seconds as 42s, 3:07 or 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
