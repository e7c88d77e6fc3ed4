"""A search whose database knows which trials are alive, so that a killed one is tried again."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hydra.core.plugins import Plugins

HEARTBEAT, GRACE = 15, 90
"""Seconds between the signs of life of a trial, and without one until it counts as failed."""
_RETRIES = 1
_SWEEPER = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"


def guard_search() -> None:
    """Let the sweeper of Optuna, where it is installed, give signs of life for its trials."""
    sweeper: Any = Plugins.instance().class_name_to_class.get(_SWEEPER)
    if sweeper is not None:
        sweeper.sweep = _sweep


def _sweep(sweeper: Any, arguments: list[str]) -> None:
    search = sweeper.sweeper
    url = search.storage
    if not isinstance(url, str) or ":memory:" in url:
        search.sweep(arguments)  # no other process sees its trials
        return
    from optuna.storages import RDBStorage, RetryFailedTrialCallback

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this part of Optuna is young
        search.storage = RDBStorage(
            url,
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            failed_trial_callback=RetryFailedTrialCallback(max_retry=_RETRIES),
        )
        with _signs_of_life(search):
            search.sweep(arguments)


@contextmanager
def _signs_of_life(search: Any) -> Iterator[None]:
    """Record that the trials of `search` are alive, and fail those of which nothing is heard."""
    own: list[Any] = []
    configure, ended = search._configure_trials, threading.Event()

    def configured(trials: list[Any], *others: Any) -> Any:
        overrides = configure(trials, *others)
        for index, trial in enumerate(trials):
            # It brings the parameters to the database too, where a search that goes on finds them.
            trial.set_system_attr("job", f"{search.sweep_dir}: {search.job_idx + index}")
            search.storage.record_heartbeat(trial._trial_id)
        own[:] = trials
        return overrides

    def beat() -> None:
        while not ended.wait(HEARTBEAT):
            with suppress(Exception):  # a database that is busy; the next one counts
                for trial in own:
                    search.storage.record_heartbeat(trial._trial_id)
                _fail_stale(search)

    search._configure_trials = configured
    _fail_stale(search)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _fail_stale(search: Any) -> None:
    """Fail the trials of the study whose process is gone; they are tried again, first of all."""
    import optuna

    if search.study_name is None:
        return  # a new study
    study = optuna.create_study(
        study_name=search.study_name,
        storage=search.storage,
        directions=search._get_directions(),
        load_if_exists=True,
    )
    optuna.storages.fail_stale_trials(study)
