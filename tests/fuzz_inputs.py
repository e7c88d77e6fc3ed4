"""The readers that are given damaged inputs, whole inputs of each, and damaged ones."""

import datetime
import gzip
import io
import random
import struct
import tempfile
from decimal import Decimal
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
from made_exp.experiments.experiment import run
from made_exp.experiments.exporting import export_run
from made_exp.experiments.finished import load_run
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.settings.commands import ExportSettings

# Formats whose rows may stay on disk, and the dataset that reads them.
KEPT_ON_DISK = {"csv": "table", "parquet": "table", "feather": "table", "npz": "npz"}
NUMBERS = ["0", "-1", "1e308", "2.2e-309", "nan", "inf", "-0.0", "007", "1,5", "9" * 400, "1e-400"]
WORDS = ["", " ", "NA", "\u00e9", "\x00", "\ufeff", '"', "=1+1", "2020-01-01", "24:00", "x" * 5000]
SIGNS = [*"()[]{}|,=<>'`\"!&${}~+@:*", "and", "or", "is", "in"]
QUESTION = "age >= 65 and (income = '>50K' or not `b c` in {x, y}) | city is missing"
COMMANDS = [
    "model.hidden_sizes=[10,20] optimizer=adam optimizer.lr=1e-3 seed=1,2 dataset=npz",
    "experiment=table dataset.path=rows.csv dataset.kinds={age:real} trainer.max_minutes=2",
    "dataset=table dataset.path=[a.csv,b.csv] dataset.drop=[id] dataset.missing=model",
    "ordering=custom ordering.order=[1,0,2] +model.dropout=0.1 scheduler=cosine",
    "optimizer.lr=interval(0.1,1) hydra/sweeper=optuna ordering=agnostic",
    "trainer=debug trainer.epochs=range(1,4) seed=choice(1,2) resume=true hydra.run.dir=x",
]
_SUFFIX = {"idx": "", "checkpoint": ".pt", "predicate": "", "overrides": "", "order": ".txt"}


def make_table(rows=60):
    """A table with a column of each kind, as a frame."""
    rng = np.random.default_rng(0)
    wage = np.round(rng.lognormal(3, 1, rows), 2)
    return pl.DataFrame(
        {
            "age": rng.integers(18, 90, rows),
            "income": rng.choice([">50K", "<=50K"], rows),
            "b c": rng.choice(["x", "y", None], rows),
            "wage": wage,
            "city": rng.choice(["Ulm", "Köln", "Bonn, Rh"], rows),
            "day": [datetime.date(2020, 1, day) for day in rng.integers(1, 9, rows).tolist()],
            "flag": rng.random(rows) < 0.3,
            "price": [f"${number:,.2f}" for number in 100 * wage],
        }
    )


def make_rare_types(rows=8):
    """A table with columns of types that a text does not have, as a frame."""
    noon = datetime.datetime(2020, 1, 1, 12)
    return pl.DataFrame(
        {
            "cost": [Decimal(f"{row}.50") for row in range(rows)],
            "when": pl.Series([noon] * rows).dt.replace_time_zone("Europe/Berlin"),
            "clock": [datetime.time(row, 30) for row in range(rows)],
            "grade": pl.Series(list("abababab")[:rows], dtype=pl.Categorical),
            "size": pl.Series(list("smsmsmsm")[:rows], dtype=pl.Enum(["s", "m"])),
            "half": pl.Series(range(rows), dtype=pl.Float32),
            "count": pl.Series(range(rows), dtype=pl.UInt64),
        }
    )


def small_tables():
    """The table of all columns, and more often ones of two, which take a quarter of the time."""
    frame = make_table()
    names = frame.columns
    return [frame, *4 * [frame.select(names[at : at + 2]) for at in range(0, len(names), 2)]]


def write_seeds(folder):
    """Whole inputs of each reader: name -> list of bytes; made once, in `folder`."""
    frames, rare = small_tables(), make_rare_types()
    seeds = {"csv": [written(frame.write_csv) for frame in frames]}
    for name, write in {"parquet": "write_parquet", "feather": "write_ipc"}.items():
        seeds[name] = [
            written(getattr(frame, write), compression=compression)
            for frame in [*frames, rare, rare.select("cost", "when"), rare.select("grade", "size")]
            for compression in ("uncompressed", "lz4", "zstd")
        ]
    seeds["csv.gz"] = [gzip.compress(content) for content in seeds["csv"]]
    seeds["npz"] = [written(np.savez, train=np.eye(6, dtype=np.uint8), image_shape=[2, 3])]
    images = np.arange(3 * 28 * 28).astype(np.uint8)
    seeds["idx"] = [gzip.compress(struct.pack(">IIII", 0x803, 3, 28, 28) + images.tobytes())]
    run(make_settings(folder), folder / "run")
    seeds["checkpoint"] = [(folder / "run/checkpoints/best.pt").read_bytes()]
    export_run(ExportSettings(run=str(folder / "run"), path=str(folder / "model.safetensors")))
    seeds["safetensors"] = [(folder / "model.safetensors").read_bytes()]
    seeds["predicate"] = [QUESTION.encode()]
    seeds["overrides"] = [command.encode() for command in COMMANDS]
    seeds["order"] = [b"[3, 1, 0, 2, 7\n6 5,4]\n"]
    seeds |= {f"kept.{name}": seeds[name] for name in KEPT_ON_DISK}
    (folder / "table.csv").write_bytes(seeds["csv"][0])
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


def file_of(name):
    """The name of a file that the reader takes."""
    return f"input{_SUFFIX.get(name, f'.{name}')}"


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
    for job in sweep_overrides(command, base)[-1:]:
        settings_from(compose_config(command, list(job)))


def as_typed(path):
    return path.read_bytes().decode(errors="replace").replace("\x00", "")


def input_of(name, seeds, seed, index):
    """Input number `index` (>= 0) of a reader; always the same."""
    rng = random.Random(f"{name} {seed} {index}")
    whole = rng.choice(seeds[name])
    if name in ("csv", "kept.csv") and rng.random() < 0.6:
        return mutated_text(whole, rng, NUMBERS + WORDS, b",\n")
    if name == "csv.gz" and rng.random() < 0.5:
        return gzip.compress(mutated_text(gzip.decompress(whole), rng, NUMBERS + WORDS, b",\n"))
    if name in ("predicate", "overrides", "order"):
        return mutated_text(whole, rng, NUMBERS + WORDS + SIGNS, b" =,")
    if name == "idx" and rng.random() < 0.5:
        return gzip.compress(mutated(gzip.decompress(whole), rng))
    return mutated(whole, rng)
