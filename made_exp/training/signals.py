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


class Interrupted(SystemExit):
    """A signal ended the run after its state was saved; the exit code is 128 + the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class StopSignals:
    """The signal that was received while `stop_signals` noted them, if any was."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, _Handler] = {}
        self._frame: FrameType | None = None

    def finish(self) -> None:
        """End the run for the signal received; call it when everything is saved.

        Raises:
            Interrupted: For SIGTERM and SIGINT; another signal's own handler raises what it likes.
        """
        if self.received is None:
            return
        handler = self._previous.get(self.received)
        if self.received in _FORWARDED and callable(handler):
            handler(self.received, self._frame)
        raise Interrupted(self.received)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        name = signal.Signals(signum).name
        if self.received is not None and signum in _STOPPING:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        self.received, self._frame = signum, frame
        _log.warning("%s received: finishing the step and saving; again to stop at once", name)

    def _install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in (*_STOPPING, *_FORWARDED):
            handler = signal.getsignal(signum)
            if handler in _DEFAULT if signum in _STOPPING else callable(handler):
                self._previous[signum] = signal.signal(signum, self._note)

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Inside the block SIGTERM and SIGINT are noted, not obeyed; the second one stops at once.

    A handler that someone else installed for SIGUSR1 or SIGUSR2 is called by `finish`, after the
    state was saved, instead of in the middle of a step. Outside the main thread nothing is caught.
    """
    signals = StopSignals()
    signals._install()
    try:
        yield signals
    finally:
        signals._restore()
