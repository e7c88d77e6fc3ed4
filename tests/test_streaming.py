"""Tables that stay on disk: the numbers of those in memory, bit for bit."""

import json
import random
import statistics
import time
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest
import torch
from experiment_cases import make_settings, read_results

from made_exp import eval as made_eval
from made_exp.cli import cache
from made_exp.cli.app import main
from made_exp.datasets import storage
from made_exp.datasets.base import fingerprint
from made_exp.datasets.description import describe_data
from made_exp.datasets.parts import fitted_rows, num_fitted, some_rows
from made_exp.datasets.registry import load_dataset
from made_exp.datasets.table import pieces, room
from made_exp.datasets.table.files import read_tables
from made_exp.datasets.table.staging import StagedTable
from made_exp.datasets.table.text import TextStyle
from made_exp.model.build import build_model
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.runs.folder import RunDirectory
from made_exp.settings.dataset import TableSettings
from made_exp.training.assembly import make_trainer
from made_exp.training.world import ALONE

STYLE = TextStyle()
TINY = ("model.hidden_sizes=[8]", "trainer.max_steps=12", "trainer.tensorboard=false")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("made_exp.machine.num_cpus", lambda: 2)
    # Several pieces of a small file.
    monkeypatch.setattr(pieces.read_pieces, "__kwdefaults__", {"block": 2000, "rows": 70})
    (tmp_path / "t.csv").write_text(text(400))
    return tmp_path


def text(count, seed=0):
    """Columns of every kind, with cells that are missing."""
    source = random.Random(seed)
    lines = ["id,real,whole,word,day,flag,spikes,one"]
    for number in range(count):
        real = source.gauss(0, 1)
        cells = [
            f"{number}",
            f"{real:.3f}",
            f"{int(40 * real) + source.randrange(9)}",
            source.choice("abcdefg") if source.random() < 0.9 else f"rare {number}",
            f"2024-{source.randrange(1, 13):02d}-{source.randrange(1, 29):02d}",
            "yes" if real > 0 else "no",
            "0" if source.random() < 0.4 else f"{source.uniform(1, 900):.1f}",
            "same",
        ]
        cells = ["" if source.random() < 0.04 and k == 1 else cell for k, cell in enumerate(cells)]
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def both(**options):
    """The same table in memory and on disk."""
    settings = {"path": "t.csv", "missing": "model"} | options
    return [
        load_dataset(**asdict(TableSettings(**settings, streaming=streams)))
        for streams in (False, True)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"missing": "ignore", "context": ["word"], "drop": ["flag"]},
        {"test_fraction": 0.0, "kinds": {"id": "integer"}},
        {"split_column": "flag"},
        {"folds": 3, "fold": 1, "missing_values": ["0", "no"]},
    ],
)
def test_a_table_on_disk_is_the_one_in_memory(folder, options):
    if "split_column" in options:
        content = (
            (folder / "t.csv").read_text().replace(",yes,", ",train,").replace(",no,", ",dev,")
        )
        (folder / "t.csv").write_text(content)
    here, there = both(**options)
    assert there.is_mapped
    assert there.variables == here.variables
    assert there.schema == here.schema
    assert (there.notices, there.note) == (here.notices, here.note)
    assert there.train.dtype == here.train.dtype
    assert fingerprint(there) == fingerprint(here)


def test_parts_of_several_types_are_one_table(folder):
    typed = pl.read_csv(folder / "t.csv", try_parse_dates=True)
    (folder / "parts").mkdir()
    typed[:150].write_parquet(folder / "parts" / "a.parquet")
    narrow = typed[150:].with_columns(
        pl.col("whole").cast(pl.Int16), pl.col("real").cast(pl.Float32)
    )
    narrow.select(reversed(narrow.columns)).write_parquet(folder / "parts" / "b.parquet")
    here, there = both(path="parts")
    assert fingerprint(there) == fingerprint(here)
    staged = folder / "staged"
    staged.mkdir()
    files = sorted((folder / "parts").iterdir())
    table, whole = StagedTable(files, STYLE, staged), read_tables(files, STYLE)
    assert table.row_hashes(["whole", "day"]).equals(whole.row_hashes(["whole", "day"]))
    assert table.origin.place(160) == whole.origin.place(160)


def test_a_wrong_cell_has_its_line(folder):
    lines = text(400).splitlines()
    lines[300] = lines[300].replace("yes", "no").replace(lines[300].split(",")[2], "oops")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    errors = []
    for streams in (False, True):
        with pytest.raises(ValueError, match="line 301") as error:
            load_dataset(**asdict(TableSettings(path="t.csv", streaming=streams)))
        errors.append(str(error.value))
    assert errors[0] == errors[1]
    kept = folder / "data" / "tables"
    assert not [path for path in kept.iterdir() if path.suffix != ".lock"]


def test_what_is_kept_is_used_again_until_the_file_changes(folder, monkeypatch, capsys):
    _, first = both()
    monkeypatch.setattr(StagedTable, "__init__", None)
    _, again = both()
    assert fingerprint(again) == fingerprint(first)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MADE_DATA_DIR", str(folder / "data"))
    (folder / "t.csv").write_text(text(400, seed=1))
    other = fingerprint(both()[1])
    assert other != fingerprint(first)
    del first, again  # what they have mapped is cut below
    places = [place for place, _ in storage.kept_tables(folder / "data")]
    assert len(places) == 2
    for place in places:
        (place / "train.npy").write_bytes(b"cut")
    assert fingerprint(both()[1]) == other
    (places[0] / "mine.txt").write_text("keep")
    assert cache.main([f"remove={places[0].name}"]) == 0
    assert cache.main([f"remove={places[0].name}"]) == 2
    assert cache.main(["remove=all"]) == 0
    assert cache.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no table is kept"
    assert [path.name for path in (folder / "data/tables").rglob("*") if path.is_file()] == [
        "mine.txt"
    ]


def test_what_would_not_fit_stays_on_disk(folder, monkeypatch):
    file = folder / "t.csv"
    assert not storage.stays_on_disk(None, lambda: room.needed_memory([file]))
    monkeypatch.setattr(storage, "available_memory", lambda: 2 * file.stat().st_size)
    assert storage.stays_on_disk(None, lambda: room.needed_memory([file]))
    assert not storage.stays_on_disk(False, lambda: room.needed_memory([file]))
    pl.read_csv(file).write_parquet("t.parquet")
    assert room.needed_memory([folder / "t.parquet"]) == room._PER_CELL * 400 * 8


def train(name, *overrides):
    arguments = ["dataset=table", "dataset.path=t.csv", *TINY, f"hydra.run.dir={name}"]
    return main([*arguments, *overrides])


def numbers_of(name):
    """What of results.json does not tell the time or the memory."""
    results = read_results(Path(name))
    left_out = ("seconds", "memory_estimate", "versions", "examples_per_second", "git_commit")
    return {key: value for key, value in results.items() if not any(x in key for x in left_out)}


def weights_of(name):
    return load_checkpoint(Path(name, "checkpoints/best.pt"))["model"]


def assert_same_run(one, other):
    assert numbers_of(one) == numbers_of(other)
    first, second = weights_of(one), weights_of(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow
def test_processes_share_what_is_mapped(folder):
    options = ("ordering=ensemble", "ordering.num_orderings=3", "dataset.missing=model")
    options += ("model.baselines=[independent]", "trainer.max_steps=9", "trainer.device=cpu")
    assert train("here", *options, "trainer.processes=1", "dataset.streaming=false") == 0
    assert train("there", *options, "trainer.processes=2", "dataset.streaming=true") == 0
    assert_same_run("here", "there")


@pytest.mark.slow
def test_all_of_a_run_works_on_disk(folder, capsys):
    """Interrupted in memory, it goes on from disk; then it is scored and drawn from."""
    options = ("ordering=agnostic", "trainer.batch_size=20")
    assert train("whole", *options, "dataset.streaming=false") == 0
    assert train("cut", *options, "dataset.streaming=false", "trainer.max_steps=5") == 0
    longer = ("resume=true", "dataset.streaming=true", "trainer.max_steps=12")
    assert train("cut", *options, *longer) == 0
    assert_same_run("whole", "cut")
    capsys.readouterr()
    assert made_eval.main(["run=cut"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["nll"] == pytest.approx(numbers_of("whole")["test"]["nll"], rel=1e-6)
    assert made_eval.main(["run=cut", "data=t.csv", "path=scores.csv"]) == 0
    assert len(pl.read_csv("scores.csv")) == 400


def test_some_rows_are_spread_evenly():
    x = torch.arange(10)[:, None].repeat(1, 3)
    assert some_rows(x, 20) is x
    assert some_rows(x, 4)[:, 0].tolist() == [0, 2, 5, 7]
    assert fitted_rows(x) is x
    wide = torch.zeros(1, 1).expand(70_000, 1000)
    assert num_fitted(wide) == 50_000
    assert num_fitted(wide.to(torch.uint8)) == 2**26 // 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sizes", [[100], [500, 500]])
def test_training_from_disk_is_as_fast_as_from_memory(folder, sizes):
    """Processor time of steps, by turns in one process: within a tenth."""
    torch.set_num_threads(1)
    (folder / "t.csv").write_text(text(20_000))
    settings = make_settings(folder, model={"hidden_sizes": sizes}, trainer={"batch_size": 100})
    datasets = both()
    data = describe_data(datasets[0])
    trainers = []
    for number, dataset in enumerate(datasets):
        model = build_model(settings, data, device=torch.device("cpu"))
        place = RunDirectory(folder / f"run{number}")
        trainers.append(make_trainer(model, dataset, settings, place, lambda _: None, {}, ALONE))
    orders = [trainer.batches.order(0) for trainer in trainers]

    def seconds(which, start):
        begun = time.process_time()
        for step in range(start, start + 20):
            trainers[which].step(orders[which][step % len(orders[which])], step, 1e-3)
        return time.process_time() - begun

    ratios = []
    for turn in range(15):
        times = {which: seconds(which, 20 * turn) for which in ((0, 1), (1, 0))[turn % 2]}
        ratios.append(times[1] / times[0])
    ratio = statistics.median(ratios)
    print(f"{sizes}: from disk {ratio:.3f} of the time from memory")
    assert ratio < 1.1
