"""How a command that goes through rows shows that it goes on: how many, and how fast."""

import sys
import time
from collections.abc import Callable
from typing import TextIO, final

_SECONDS, _LIVE_SECONDS = 10.0, 0.5


@final
class RowCount:
    """Counts rows on stderr: one line that changes on a terminal, a line now and then elsewhere.

    Args:
        what: What is done to them, such as "scored".
        stream: Where to write; stderr by default.
        clock: Returns seconds; replaced in tests.
    """

    def __init__(
        self,
        what: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._clock = what, clock
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._started = self._last = clock()
        self._said = False
        self.rows = 0

    def add(self, rows: int) -> None:
        """So many more are done."""
        self.rows += rows
        now = self._clock()
        if now - self._last >= (_LIVE_SECONDS if self._live else _SECONDS):
            self._last, self._said = now, True
            speed = self.rows / max(now - self._started, 1e-9)
            text = f"{self.rows:,} rows {self._what}, {speed:,.0f} rows/s".replace(",", " ", 1)
            end = "\r" if self._live else "\n"
            print(text.ljust(60) if self._live else text, end=end, file=self._stream, flush=True)

    def end(self) -> None:
        """Leave a terminal clean."""
        if self._live and self._said:
            print(" " * 60, end="\r", file=self._stream, flush=True)
