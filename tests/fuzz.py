"""Gives every reader damaged inputs, and sees that it reads them or says what is wrong.

Usage: python tests/fuzz.py [--inputs N] [--minutes M] [--seed S] [READER ...]

Real small files are mutated. A reader may take 10 seconds of a processor and 2 GiB more than
it starts with. A failure is an exception that a command would show as a traceback, a warning, a
file that is written, a process that dies or hangs. What fails is kept in outputs/fuzz.
"""

import argparse
import contextlib
import datetime
import gzip
import io
import logging
import math
import multiprocessing
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from builders import load_dataset
from experiment_cases import make_settings
from mutations import mutated, mutated_text

from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config, fixed_overrides, sweep_overrides
from made_exp.cli.validate import _read_order, settings_from
from made_exp.datasets import npz
from made_exp.datasets.download import Checksum, digest_problem
from made_exp.datasets.table.schema import TableSchema
from made_exp.density.events import Events
from made_exp.density.predicate import parse_question
from made_exp.errors import TrainingError, is_users_mistake
from made_exp.experiments.experiment import run
from made_exp.experiments.exporting import export_run
from made_exp.experiments.finished import load_run
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.settings.commands import ExportSettings

MEMORY, SECONDS = 2 * 2**30, 10
LONGEST_WAIT = 60  # seconds: a disk may be busy
KEPT = Path("outputs/fuzz")
# Formats whose rows may stay on disk, and the dataset that reads them.
KEPT_ON_DISK = {"csv": "table", "parquet": "table", "feather": "table", "npz": "npz"}
NUMBERS = ["0", "-1", "1e308", "2.2e-309", "nan", "inf", "-0.0", "007", "1,5", "9" * 400, "1e-400"]
WORDS = ["", " ", "NA", "\u00e9", "\x00", "\ufeff", '"', "=1+1", "2020-01-01", "24:00", "x" * 5000]
QUESTION = "age >= 65 and (income = '>50K' or not `b c` in {x, y}) | city is missing"
COMMAND = "model.hidden_sizes=[10,20] optimizer=adam optimizer.lr=1e-3 seed=1,2 dataset=npz"


def make_table(rows=60):
    """A table with a column of each kind, as a frame."""
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "age": rng.integers(18, 90, rows),
            "income": rng.choice([">50K", "<=50K"], rows),
            "b c": rng.choice(["x", "y", None], rows),
            "wage": np.round(rng.lognormal(3, 1, rows), 2),
            "city": rng.choice(["Ulm", "Köln", "Bonn, Rh"], rows),
            "day": [datetime.date(2020, 1, day) for day in rng.integers(1, 9, rows).tolist()],
        }
    )


def write_seeds(folder):
    """A whole input of each reader, or several: name -> bytes; made once, in `folder`."""
    frame = make_table()
    seeds = {"csv": written(frame.write_csv)}
    for name, write in {"parquet": frame.write_parquet, "feather": frame.write_ipc}.items():
        seeds[name] = [written(write, compression=x) for x in ("uncompressed", "lz4", "zstd")]
    seeds["csv.gz"] = gzip.compress(seeds["csv"])
    seeds["npz"] = written(np.savez, train=np.eye(6, dtype=np.uint8), image_shape=[2, 3])
    images = np.arange(3 * 28 * 28).astype(np.uint8)
    seeds["idx"] = gzip.compress(struct.pack(">IIII", 0x803, 3, 28, 28) + images.tobytes())
    run(make_settings(folder), folder / "run")
    seeds["checkpoint"] = (folder / "run/checkpoints/best.pt").read_bytes()
    export_run(ExportSettings(run=str(folder / "run"), path=str(folder / "model.safetensors")))
    seeds["safetensors"] = (folder / "model.safetensors").read_bytes()
    seeds["predicate"], seeds["overrides"] = QUESTION.encode(), COMMAND.encode()
    seeds["order"] = b"[3, 1, 0, 2, 7\n6 5,4]\n"
    seeds |= {f"kept.{name}": seeds[name] for name in KEPT_ON_DISK}
    (folder / "table.csv").write_bytes(seeds["csv"])
    return seeds


def written(write, **options):
    """The bytes that `write` writes to a file."""
    buffer = io.BytesIO()
    write(buffer, **options)
    return buffer.getvalue()


def make_readers(folder):
    """Name -> what reads an input of that kind from a path."""
    events = Events(TableSchema.from_dict(table(folder / "table.csv").schema))
    return {
        "csv": table,
        "csv.gz": table,
        "parquet": table,
        "feather": table,
        "npz": lambda path: npz.load(seed=0, data_dir=path.parent, path=str(path), context="none"),
        "idx": read_idx,
        "checkpoint": load_checkpoint,
        "safetensors": load_run,
        "predicate": lambda path: read_question(path, events),
        "overrides": read_overrides,
        "order": _read_order,
        **{f"kept.{name}": partial(keep, kind, folder) for name, kind in KEPT_ON_DISK.items()},
    }


def table(path):
    return load_dataset("table", seed=0, data_dir=path.parent, path=str(path))


def keep(name, folder, path):
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        load_dataset(name, seed=0, data_dir=Path(kept), path=str(path), streaming=True)


def read_idx(path):
    """Files of digits are read only if their checksum is right: any bytes have one or have not."""
    digest_problem(path, Checksum("md5", "0" * 32, decompressed=True))


def read_question(path, events):
    question = parse_question(as_typed(path))
    for predicate in (getattr(question, "predicate", None), question.condition):
        if predicate is not None:
            events.formula(predicate, question.text)


def read_overrides(path):
    command = parse_command_line(as_typed(path).split(" "))
    base = compose_config(command, fixed_overrides(command))
    for job in sweep_overrides(command, base)[:2]:
        settings_from(compose_config(command, list(job)))


def as_typed(path):
    return path.read_bytes().decode(errors="replace").replace("\x00", "")


def input_of(name, seeds, seed, index):
    """Input number `index` (>= 0) of a reader; always the same."""
    rng = random.Random(f"{name} {seed} {index}")
    if name in ("csv", "kept.csv") and rng.random() < 0.6:
        return mutated_text(seeds[name], rng, NUMBERS + WORDS, b",\n")
    if name == "csv.gz" and rng.random() < 0.5:
        return gzip.compress(mutated_text(seeds["csv"], rng, NUMBERS + WORDS, b",\n"))
    if name in ("predicate", "overrides", "order"):
        special = NUMBERS + WORDS + list("()[]{}|,=<>'`\"!&${}~+@:*") + ["and", "or", "is", "in"]
        return mutated_text(seeds[name], rng, special, b" =,")
    if name == "idx" and rng.random() < 0.5:
        return gzip.compress(mutated(gzip.decompress(seeds[name]), rng))
    whole = seeds[name]
    return mutated(rng.choice(whole) if isinstance(whole, list) else whole, rng)


def failure_of(reader, path):
    """What is wrong with how `reader` takes the file; None if nothing is."""
    before = path.read_bytes()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            reader(path)
    except BaseException as error:
        if not (is_users_mistake(error) or isinstance(error, ValueError | TrainingError)):
            return traceback.format_exc()
        if not str(error).strip():
            return f"no message: {error!r}"
    left = sorted(one.name for one in path.parent.iterdir())
    if left != [path.name] or path.read_bytes() != before:
        return f"written: {left}"
    return None


def work(name, folder, seeds, seed, numbers, pipe):
    """Read the inputs with these numbers; tell of each when it begins, and of each failure."""
    logging.disable(logging.CRITICAL)
    readers = make_readers(folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    place = Path(tempfile.mkdtemp(dir=folder))
    suffix = {"idx": "", "checkpoint": ".pt", "predicate": "", "overrides": "", "order": ".txt"}
    path = place / f"input{suffix.get(name, f'.{name}')}"
    for number in numbers:
        pipe.send((number, None))
        path.write_bytes(input_of(name, seeds, seed, number))
        started = time.process_time()
        failure = failure_of(readers[name], path)
        if (seconds := time.process_time() - started) > SECONDS:
            failure = failure or f"{seconds:.1f} s of a processor"
        if failure:
            pipe.send((number, failure))
            for one in place.iterdir():
                one.unlink() if one.is_file() else shutil.rmtree(one)
    pipe.send((None, None))


def fuzz(name, folder, seeds, seed, inputs, minutes):
    """How many inputs a reader was given, and its failures: number of one -> what went wrong."""
    failures, next_one, until = {}, 0, time.monotonic() + 60 * minutes
    while next_one < inputs and len(failures) < 20 and time.monotonic() < until:
        ours, theirs = multiprocessing.Pipe()
        arguments = (name, folder, seeds, seed, range(next_one, inputs), theirs)
        process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        process.start()
        theirs.close()
        number = None
        try:
            while ours.poll(LONGEST_WAIT):
                number, failure = ours.recv()
                if number is None:
                    next_one = inputs
                    break
                next_one = number + 1
                if failure:
                    failures[number] = failure
                if time.monotonic() >= until:
                    next_one = number  # its answer is not awaited
                    break
            else:
                if number is None:
                    raise RuntimeError(f"{name}: the readers cannot be made")
                failures[number] = f"no answer within {LONGEST_WAIT} s"
        except EOFError:
            process.join()
            if number is None:
                raise RuntimeError(f"{name}: the readers cannot be made") from None
            failures[number] = f"the process ended with {process.exitcode}"
        process.kill()
        process.join()
    return next_one, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000, help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="at most, for each reader")
    parser.add_argument("readers", nargs="*")
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        os.environ["MADE_DATA_DIR"] = str(folder / "data")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            # In a process of its own: polars has threads, and those do not outlive a fork.
            seeds = pool.apply(write_seeds, (folder,))
        for name in options.readers or seeds:
            started = time.monotonic()
            given, failures = fuzz(
                name, folder, seeds, options.seed, options.inputs, options.minutes
            )
            seconds = time.monotonic() - started
            print(f"{name}: {given} inputs, {len(failures)} failures, {seconds:.0f} s", flush=True)
            for number, failure in failures.items():
                KEPT.mkdir(parents=True, exist_ok=True)
                content = input_of(name, seeds, options.seed, number)
                (KEPT / f"{name}.{options.seed}.{number}").write_bytes(content)
                print(f"  input {number}: {failure[-1500:]}", flush=True)
            bad += len(failures)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
