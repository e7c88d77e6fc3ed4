"""Gives every reader damaged inputs, and sees that it reads them or says what is wrong.

Usage: python tests/fuzz.py [--inputs N] [--minutes M] [--seed S] [--continue] [READER ...]

Real small files are mutated. A reader may take 10 seconds of a processor and 2 GiB more than
it starts with. A failure is an exception that a command would show as a traceback, a warning,
anything on the standard error, a file that is written, a process that dies or hangs. What fails
is kept in outputs/fuzz, and how many inputs of each seed a reader was given in its counts.json:
`--continue` goes on from there.
"""

import argparse
import contextlib
import io
import json
import logging
import math
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

from fuzz_inputs import file_of, input_of, make_readers, write_seeds

from made_exp.errors import TrainingError, is_users_mistake
from made_exp.files import atomic_write_text

MEMORY, SECONDS = 2 * 2**30, 10
LONGEST_WAIT = 300  # seconds: others may have the processors
MOST_FAILURES = 20
RECORD_EVERY = 500
KEPT = Path("outputs/fuzz")
COUNTS = KEPT / "counts.json"


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


def said(stream):
    """What was written into a file since it was asked last, as text."""
    if not os.fstat(stream.fileno()).st_size:
        return ""
    stream.seek(0)
    text = stream.read().decode(errors="replace")
    stream.seek(0)
    stream.truncate()
    return text


def work(name, folder, seeds, seed, numbers, pipe):
    """Read the inputs with these numbers; tell of each when it begins, and of each failure."""
    logging.disable(logging.CRITICAL)
    readers = make_readers(folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    place = Path(tempfile.mkdtemp(dir=folder))
    path = place / file_of(name)
    errors = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    os.dup2(errors.fileno(), sys.stderr.fileno())
    for number in numbers:
        pipe.send((number, None))
        path.write_bytes(input_of(name, seeds, seed, number))
        started = time.process_time()
        failure = failure_of(readers[name], path)
        if (seconds := time.process_time() - started) > SECONDS:
            failure = failure or f"{seconds:.1f} s of a processor"
        if text := said(errors):
            failure = failure or f"on the standard error: {text}"
        if failure:
            pipe.send((number, failure))
            for one in place.iterdir():
                one.unlink() if one.is_file() else shutil.rmtree(one)
    pipe.send((None, None))


def fuzz(name, folder, seeds, seed, numbers, until, record):
    """How many inputs a reader was given, and its failures: number of one -> what went wrong.

    Args:
        name: The reader.
        folder: Where its inputs are written.
        seeds: Name -> whole inputs.
        seed: Of the damages.
        numbers: The range of inputs to give.
        until: When to end, in seconds of `time.monotonic`.
        record: Is told from time to time how many were given.
    """
    failures, next_one = {}, numbers.start
    while next_one < numbers.stop and len(failures) < MOST_FAILURES and time.monotonic() < until:
        ours, theirs = multiprocessing.Pipe()
        arguments = (name, folder, seeds, seed, range(next_one, numbers.stop), theirs)
        process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
        process.start()
        theirs.close()
        number = None
        try:
            while ours.poll(LONGEST_WAIT):
                number, failure = ours.recv()
                if number is None:
                    next_one = numbers.stop
                    break
                next_one = number + 1
                if failure:
                    failures[number] = failure
                elif number % RECORD_EVERY == 0:
                    record(number)
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
    record(next_one)
    return next_one, failures


def recorded():
    """Reader -> seed -> number of inputs that it was given."""
    return json.loads(COUNTS.read_text()) if COUNTS.is_file() else {}


def record(name, seed, given):
    """Note that a reader was given inputs 0 to `given` of a seed."""
    COUNTS.parent.mkdir(parents=True, exist_ok=True)
    counts = recorded()
    counts.setdefault(name, {})[str(seed)] = given
    atomic_write_text(COUNTS, json.dumps(counts, indent=1) + "\n")


def keep(content, name):
    """Keep an input that failed."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / name).write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000, help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="at most, for each reader")
    parser.add_argument("--continue", dest="goes_on", action="store_true", help="after the last")
    parser.add_argument("readers", nargs="*")
    options = parser.parse_args()
    seed, bad = options.seed, 0
    quick = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=quick) as text:
        folder = Path(text)
        os.environ["MADE_DATA_DIR"] = str(folder / "data")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            # In a process of its own: polars has threads, and those do not outlive a fork.
            seeds = pool.apply(write_seeds, (folder,))
        for name in options.readers or seeds:
            first = recorded().get(name, {}).get(str(seed), 0) if options.goes_on else 0
            started = time.monotonic()
            given, failures = fuzz(
                name,
                folder,
                seeds,
                seed,
                range(first, options.inputs),
                started + 60 * options.minutes,
                partial(record, name, seed),
            )
            seconds = time.monotonic() - started
            print(f"{name}: {given} inputs, {len(failures)} failures, {seconds:.0f} s", flush=True)
            for number, failure in failures.items():
                keep(input_of(name, seeds, seed, number), f"{name}.{seed}.{number}")
                print(f"  input {number}: {failure[-1500:]}", flush=True)
            bad += len(failures)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
