"""Runs an experiment in processes that are killed at random moments, until it is finished.

Usage: kill_loop.py CONFIG.json FOLDER KILLS SEED

Each life is a fork of this process, so that a life costs no imports. Where it has started others,
any of them is killed. Prints how many lives were cut before the experiment was finished. Fails if
one left an evaluation in metrics.jsonl that its last.pt does not know, or a process.
"""

import contextlib
import json
import os
import random
import sys
import time
import traceback
from pathlib import Path

import psutil

import made_exp.experiments.scoring  # noqa: F401  (all imports once, before the first fork)
from made_exp.experiments.experiment import run
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.settings.experiment import from_dict

LONGEST_LIFE, LONGEST_TRAINING = 1.2, 0.3


def main(config_path, folder, kills, seed):
    config = json.loads(Path(config_path).read_text())
    folder, rng, cut = Path(folder), random.Random(int(seed)), 0
    for _ in range(int(kills)):
        before = size(folder)
        child = start(config, folder)
        if rng.random() < 0.5:  # any moment of its life, or one when it trains
            time.sleep(rng.random() * LONGEST_LIFE)
        else:
            wait_for_training(child, folder, before)
            time.sleep(rng.random() * LONGEST_TRAINING)
        kill_one(child, rng)
        cut += not (folder / "results.json").exists()
        check_last(RunDirectory(folder))
    _, status = os.waitpid(start(config, folder), 0)
    print(cut)
    sys.exit(os.waitstatus_to_exitcode(status))


def kill_one(child, rng):
    """Kill `child` or one that it has started; return when none of them is left."""
    family = [psutil.Process(child), *psutil.Process(child).children()]
    with contextlib.suppress(psutil.NoSuchProcess):
        rng.choice(family).kill()
    os.waitpid(child, 0)
    _, alive = psutil.wait_procs(family[1:], timeout=10)
    if alive:
        sys.exit(f"left running: {alive}")


def size(folder):
    """Bytes of metrics.jsonl."""
    path = RunDirectory(folder).metrics
    return path.stat().st_size if path.exists() else 0


def wait_for_training(child, folder, before):
    """Return when `child` has recorded an evaluation, or is at its end."""
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while size(folder) <= before and os.waitid(os.P_PID, child, ended) is None:
        time.sleep(0.002)


def check_last(run):
    """A resume loses no evaluation that metrics.jsonl has."""
    if not run.metrics.exists():
        return
    lines = run.metrics.read_text().splitlines()
    recorded = json.loads(lines[-1])["step"] if lines else -1
    known = load_checkpoint(run.last)["state"]["evaluated_step"]
    if known < recorded:
        sys.exit(f"step {recorded} was recorded, but last.pt knows step {known} only")


def start(config, folder):
    """Fork a process that runs or resumes the experiment; its number."""
    child = os.fork()
    if child:
        return child
    try:
        run(from_dict({**config, "resume": True}), folder)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
