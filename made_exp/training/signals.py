"""Signals that ask a run to stop: the step is finished, the state saved, then the run ends."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_log = logging.getLogger(__name__)
_STOPPING = (signal.SIGTERM, signal.SIGINT)
# Slurm's warnings, for which submitit installs handlers that requeue the job and exit.
_FORWARDED = (signal.SIGUSR1, signal.SIGUSR2)
_DEFAULT = (signal.SIG_DFL, signal.default_int_handler)
_Handler = Callable[[int, FrameType | None], object] | int | None


class StopSignals:
    """The signal that was received while `stop_signals` noted them, if any was."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.previous: dict[int, _Handler] = {}
        self._frame: FrameType | None = None

    def finish(self) -> None:
        """End the run for the signal received; call it when everything is saved.

        Raises:
            SystemExit: 128 + the signal for SIGTERM and SIGINT; another signal's own handler
                raises what it likes.
        """
        if self.received is None:
            return
        handler = self.previous.get(self.received)
        if self.received in _FORWARDED and callable(handler):
            handler(self.received, self._frame)
        raise SystemExit(128 + self.received)

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: take note of it, or obey it if it is not the first."""
        name = signal.Signals(signum).name
        if self.received is not None and signum in _STOPPING:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        self.received, self._frame = signum, frame
        _log.warning("%s received: finishing the step and saving; again to stop at once", name)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Inside the block SIGTERM and SIGINT are noted, not obeyed; the second one stops at once.

    A handler that someone else installed for SIGUSR1 or SIGUSR2 is called by `finish`, after the
    state was saved, instead of in the middle of a step. A signal that comes too late for that is
    sent again after the block. Outside the main thread nothing is caught.
    """
    signals = StopSignals()
    is_main = threading.current_thread() is threading.main_thread()
    for signum in (*_STOPPING, *_FORWARDED) if is_main else ():
        handler = signal.getsignal(signum)
        if handler in _DEFAULT if signum in _STOPPING else callable(handler):
            signals.previous[signum] = signal.signal(signum, signals.note)
    try:
        yield signals
    finally:
        for number, previous in signals.previous.items():
            signal.signal(number, previous)
    if signals.received is not None:
        os.kill(os.getpid(), signals.received)
