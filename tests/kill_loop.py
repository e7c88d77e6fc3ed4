"""Kills runs at random moments, resumes them, and compares them with runs that were left alone.

Usage: python tests/kill_loop.py [--kills N] [--seed S] [--jobs N] [CASE ...]

A life is a fork of this process, so that it costs no imports. It is killed, stopped or given a full
disk, and its clock may be wrong; the next one resumes what it left. No evaluation may be missing
that was recorded before, no process may be left, nothing may be said but in words, and the
run must end with the numbers and weights of one that was left alone, to the bit, in as many files.
What fails is kept in outputs/kills.
"""

import argparse
import contextlib
import fcntl
import importlib
import io
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch
from experiment_cases import read_metrics, read_results
from kill_cases import CASES, tensorboard_curve
from kill_faults import (
    Fault,
    count_writes,
    draw_clock,
    draw_fault,
    family,
    has_ended,
    set_clock,
)

import made_exp.cli.app
import made_exp.experiments.scoring  # all imports once, before the first fork
from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config
from made_exp.cli.messages import answered
from made_exp.cli.validate import settings_from
from made_exp.experiments.experiment import run
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.runs.folder import RunDirectory

KEPT = Path("outputs/kills")
MOST_LIVES, SECONDS = 15, 900  # a busy machine is no hang
LEFT_ALONE = Fault()


class Failure(Exception):
    """A promise was broken."""


class Loop:
    """The lives of one case.

    Args:
        name: The case.
        folder: Where its runs are.
        rng: Draws the faults.
    """

    def __init__(self, name, folder, rng):
        self.name, self.folder, self.rng = name, folder, rng
        self.overrides = CASES[name](folder)
        command = parse_command_line([*self.overrides, "resume=true", "hydra.run.dir=unused"])
        self.settings = settings_from(compose_config(command, command.overrides))
        self.events, self.seconds = {}, {}
        self.told, self.cut, self.runs = [], Counter(), 0

    def leave_alone(self):
        """The run that others are compared with, by the command and by `run`."""
        for by_command in (True, False):
            started = time.monotonic()
            self.whole = self.folder / f"whole.{by_command}"
            self.live(self.whole, LEFT_ALONE, None, by_command)
            self.seconds[by_command] = time.monotonic() - started
            events = json.loads((self.whole / "events.json").read_text())
            self.events[by_command] = {(kind, name): count for kind, name, count in events}
            import_all(json.loads((self.whole / "modules.json").read_text()))
        self.compare(self.folder / "whole.True")

    def run(self):
        """One run in several lives."""
        place = self.folder / f"{self.runs}"
        self.runs, self.told = self.runs + 1, []
        for number in range(MOST_LIVES + 1):
            by_command = self.rng.random() < 0.2
            fault = draw_fault(self.rng, self.seconds[by_command], self.events[by_command])
            fault = fault if number < MOST_LIVES else LEFT_ALONE
            code = self.live(place, fault, draw_clock(self.rng), by_command)
            if code == 0:
                break
            self.cut[type(fault).__name__] += 1
        self.compare(place)
        shutil.rmtree(place)

    def live(self, place, fault, clock, by_command):
        """One life; its exit code."""
        self.told.append(f"{fault} clock={clock} command={by_command}")
        place.mkdir(exist_ok=True)
        before = lines_of(place / "run")
        reads, writes = os.pipe()  # not a file, which has no place on a full disk
        fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 2**20)
        child = os.fork()
        if not child:
            for stream in (1, 2):
                os.dup2(writes, stream)
            self.be_alive(place, fault, clock, by_command)
        os.close(writes)
        fault.act(child, lambda: len(lines_of(place / "run")) > len(before))
        code = end_of(child)
        with open(reads) as pipe:
            said = pipe.read()
        if code not in fault.codes or "Traceback" in said:
            raise Failure(f"exit code {code}; it said:\n{said}")
        if lines_of(place / "run")[: len(before)] != before:
            raise Failure("metrics.jsonl has lost lines")
        check_last(RunDirectory(place / "run"))
        return code

    def be_alive(self, place, fault, clock, by_command):
        """What the child does."""
        code = 1
        try:
            os.setpgrp()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ["MADE_DATA_DIR"] = str(place / "data")
            set_clock(clock)
            seen = count_writes(place) if fault is LEFT_ALONE else Counter()
            fault.arm(place)
            with contextlib.suppress(KeyboardInterrupt):
                code = 130
                code = self.work(place, by_command)
            sys.stderr.flush()
            if seen:
                events = [[*event, count] for event, count in seen.items()]
                (place / "events.json").write_text(json.dumps(events))
                (place / "modules.json").write_text(json.dumps(list(sys.modules)))
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def work(self, place, by_command):
        folder = place / "run"
        if by_command:
            words = [*self.overrides, "resume=true", f"hydra.run.dir={folder}"]
            return made_exp.cli.app.main(words)
        return answered(lambda: int(run(self.settings, folder, self.overrides) == math.inf))

    def compare(self, place):
        """A run that has come to its end with one that was left alone."""
        one, two = place / "run", self.whole / "run"
        said = ""
        for read in (read_results, read_metrics, weights_of, caches_of):
            if read(one) != read(two):
                said += f"{read.__name__} differs: {read(one)}\n{read(two)}\n"
        if left := [str(path) for path in place.rglob("*.tmp")]:
            said += f"left: {left}\n"
        if RunDirectory(one).read_status()["state"] != "completed":
            said += "not completed\n"
        disk = any("Disk" in told or "File" in told for told in self.told)
        if not disk and self.settings.trainer.tensorboard:
            said += "" if tensorboard_curve(one) == tensorboard_curve(two) else "curves differ\n"
        if said:
            raise Failure(said)


def import_all(names):
    """Import here what one life has imported, so that no other pays for it."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def end_of(child):
    """The exit code of a process, when it and all that it started have ended."""
    others, until = {}, time.monotonic() + SECONDS
    while not has_ended(child):
        others |= {process.pid: process for process in family(child)[1:]}
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            raise Failure("it hangs")
        time.sleep(0.01)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _, alive = psutil.wait_procs(others.values(), timeout=10)
    if alive:
        raise Failure(f"left running: {alive}")
    return code


def lines_of(folder):
    """The whole lines of metrics.jsonl."""
    path = RunDirectory(folder).metrics
    content = path.read_bytes() if path.exists() else b""
    return content.split(b"\n")[:-1]


def check_last(found):
    """A resume loses no evaluation that metrics.jsonl has."""
    lines = lines_of(found.path)
    if lines:
        known = load_checkpoint(found.last)["state"]["evaluated_step"]
        recorded = json.loads(lines[-1])["step"]
        if known < recorded:
            raise Failure(f"step {recorded} is recorded, but last.pt knows step {known} only")


def weights_of(folder):
    """The weights of best.pt, as bytes."""
    best = load_checkpoint(RunDirectory(folder).best)
    return {
        name: tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        for name, tensor in best["model"].items()
    }


def caches_of(folder):
    """What is kept beside the data."""
    files = (path for path in (folder.parent / "data").rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files}


def cut_lives(name, kills, seed):
    """Whether a case fails before so many of its lives are cut; says what was cut."""
    torch.set_num_threads(1)
    started, failed = time.monotonic(), False
    with tempfile.TemporaryDirectory() as text:
        loop = Loop(name, Path(text), random.Random(f"{name} {seed}"))
        try:
            loop.leave_alone()
            while loop.cut.total() < kills:
                loop.run()
        except Failure as failure:
            failed = True
            kept = KEPT / f"{name}.{seed}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(text, kept)
            print(f"{name}: FAILED, kept in {kept}: {failure}", *loop.told, sep="\n  ")
    by_kind = ", ".join(f"{kind} {count}" for kind, count in sorted(loop.cut.items()))
    seconds, cut = time.monotonic() - started, loop.cut.total()
    print(f"{name}: {cut} kills ({by_kind}) of {loop.runs} runs, {seconds:.0f} s", flush=True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="lives that are cut, in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at once")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    options = parser.parse_args()
    cases = options.cases or list(CASES)
    case = partial(cut_lives, kills=-(-options.kills // len(cases)), seed=options.seed)
    with ProcessPoolExecutor(options.jobs, get_context("fork")) as pool:
        return int(any(list(pool.map(case, cases))))


if __name__ == "__main__":
    sys.exit(main())
