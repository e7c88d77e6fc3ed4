"""One job at a time beside training: the disk is slow, and training need not wait for it."""

import threading
import time
from collections.abc import Callable


class BackgroundJob:
    """Runs a job in a thread of its own; the next one waits until it is done.

    What a job raises is raised by the `wait` or `start` that comes after it.
    """

    def __init__(self) -> None:
        self._cpu_seconds = 0.0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], None], *, at_once: bool = False) -> None:
        """Wait for the job before, then begin with `job` and return.

        With `at_once` the job is done here: handing a short one to a thread costs more than it.
        """
        self.wait()
        if at_once:
            job()
            return
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Return when no job is running; raise what the last one raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def take_cpu_seconds(self) -> float:
        """Time of a processor that jobs used since this was last asked; call it after `wait`."""
        spent, self._cpu_seconds = self._cpu_seconds, 0.0
        return spent

    def _run(self, job: Callable[[], None]) -> None:
        started = time.thread_time()
        try:
            job()
        except BaseException as error:  # raised again in the thread that trains
            self._error = error
        self._cpu_seconds += time.thread_time() - started
