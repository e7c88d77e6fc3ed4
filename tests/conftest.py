"""The same tests on any device and in any precision: `pytest --device cuda --dtype float32`."""

import gc
import logging
import os
import signal

# Tiny tensors and tables: with several threads the tests, and the commands they start, mostly wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# A shell starts what it sends to the background with Ctrl-C ignored; the tests send it themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
import torch
from hypothesis import settings

from made_exp.reporting import figures

# What a shell may have set for commands; the tests that need one set it themselves.
for _name in (
    "HYDRA_FULL_ERROR",
    "LOCAL_RANK",
    "MADE_DATA_DIR",
    "MADE_JOBS_AT_ONCE",
    "MADE_MEMORY_GIB",
    "MADE_RUN_ID",
    "RANK",
    "SLURM_STEP_NUM_TASKS",
    "SUBMITIT_LOCAL_NTASKS",
):
    os.environ.pop(_name, None)

# The same examples whenever the suite runs; `--slow` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("new", deadline=None)
settings.load_profile("same")


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="device of the tests, e.g. cpu or cuda")
    parser.addoption("--dtype", default="float64", choices=["float32", "float64"])
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_configure(config):
    if config.getoption("--slow"):
        settings.load_profile("new")


def pytest_collection_modifyitems(config, items):
    missing = {
        "slow": None if config.getoption("--slow") else "long test: give --slow",
        "ray": None if "ray" in config.getoption("-m") else "starts Ray: give -m ray",
        "gpu": None
        if config.getoption("--device").startswith("cuda")
        else "needs a GPU: give --device cuda",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish(session):
    """Thousands of collected tests are no garbage; to look for it in them takes a quarter."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def device(request):
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def dtype(request):
    return getattr(torch, request.config.getoption("--dtype"))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _blank_pictures_of_tables(request):
    """The picture of a table takes a third of a short run: only marked modules have it drawn."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.get_closest_marker("pictures"):
            patch.setattr(figures, "table_picture", lambda *a, **kw: np.zeros((4, 4, 3), "u1"))
        yield


@pytest.fixture(autouse=True)
def _own_environment():
    """A test that sets up a command in-process leaves variables for its jobs."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _own_log_handlers():
    """A command run in-process leaves handlers on streams and files that end with its test.

    Handlers of pytest are of classes of their own, and are left alone.
    """
    yield
    for name in ("", "made_exp", "hydra"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if type(handler) in (logging.StreamHandler, logging.FileHandler):
                logger.removeHandler(handler)
                handler.close()
