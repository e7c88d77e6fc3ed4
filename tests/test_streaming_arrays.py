"""Arrays that stay on disk: mapped where they lie or from a cache, with the numbers of memory."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from experiment_cases import read_results

from made_exp.cli.app import main
from made_exp.datasets import storage
from made_exp.datasets.arrays import needed_memory
from made_exp.datasets.base import fingerprint
from made_exp.datasets.registry import load_dataset
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.settings.dataset import NpzSettings


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def arrays(kind="codes", rows=300):
    """Three splits of 6 columns: bits, codes (small, large and real numbers) or reals."""
    source = np.random.default_rng(0)
    bits = source.integers(0, 2, (rows, 6), dtype=np.uint8)
    bits[:, 2] = bits[:, 1]
    x = {
        "bits": bits,
        "codes": bits * np.array([1, 5, 1, 700, 1, 1]),
        "reals": source.normal(size=(rows, 6)).round(2),
        "mixed": np.where(np.arange(6) == 4, source.normal(size=(rows, 6)).round(3), bits),
        "single": source.normal(size=(rows, 6)).astype(np.float32),
    }[kind]
    third = rows // 3
    return {"train": x[:-third], "valid": x[-third:-20], "test": x[-20:]}


def save_npz(content):
    np.savez("t.npz", **content)
    return "t.npz"


def save_compressed(content):
    np.savez_compressed("t.npz", **content)
    return "t.npz"


def save_fortran(content):
    return save_npz({name: np.asfortranarray(x) for name, x in content.items()})


def save_folder(content):
    Path("t").mkdir()
    for name, x in content.items():
        np.save(f"t/{name}.npy", x)
    return "t"


def save_npy(content):
    np.save("t.npy", content["train"])
    return "t.npy"


SAVED = (save_npz, save_compressed, save_fortran, save_folder, save_npy)


def both(path, **options):
    """The same arrays in memory and on disk."""
    return [
        load_dataset(**asdict(NpzSettings(path=path, streaming=streams, **options)))
        for streams in (False, True)
    ]


def kept_rows(folder):
    """Names of the arrays of rows that were written into the cache."""
    return sorted(
        file.stem for file in (folder / "data").rglob("*.npy") if file.stat().st_size > 200
    )


@pytest.mark.parametrize("save", SAVED)
@pytest.mark.parametrize("kind", ["bits", "codes", "reals", "mixed", "single"])
def test_arrays_on_disk_are_those_in_memory(folder, monkeypatch, save, kind):
    monkeypatch.setattr("made_exp.datasets.tables._CELLS", 100)  # several blocks
    monkeypatch.setattr("made_exp.datasets.inference._CELLS", 500)
    here, there = both(save(arrays(kind)))
    assert there.is_mapped
    assert not here.is_mapped
    assert there.variables == here.variables
    assert there.notices == here.notices
    assert there.train.dtype == here.train.dtype
    assert fingerprint(there) == fingerprint(here)


def test_labels_and_shapes_are_kept_too(folder):
    content = arrays("bits")
    labels = {f"{split}_labels": x[:, 0].astype(np.int32) + 2 for split, x in content.items()}
    path = save_compressed(content | labels | {"image_shape": [2, 3]})
    here, there = both(path, context="labels")
    assert (there.num_classes, there.image_shape) == (4, (2, 3))
    assert fingerprint(there) == fingerprint(here)
    np.savez("cut.npz", train=content["train"], train_labels=labels["train_labels"])
    here, there = both("cut.npz", context="labels")
    assert fingerprint(there) == fingerprint(here)
    del labels["test_labels"]
    np.savez("none.npz", **content | {"test": content["test"][:0]}, **labels)
    here, there = both("none.npz", context="labels")
    assert not there.has_test
    assert fingerprint(there) == fingerprint(here)


@pytest.mark.parametrize(
    ("save", "kind", "copied"),
    [
        (save_npz, "bits", []),
        (save_folder, "bits", []),
        (save_folder, "codes", []),
        (save_folder, "reals", []),
        (save_folder, "single", ["test", "train", "valid"]),
        (save_compressed, "bits", ["test", "train", "valid"]),
        (save_npy, "reals", ["test", "train", "valid"]),
    ],
)
def test_only_what_cannot_be_mapped_where_it_lies_is_written(folder, save, kind, copied):
    path = save(arrays(kind))
    _, there = both(path)
    assert kept_rows(folder) == copied
    there.train.zero_()  # of this process alone
    assert fingerprint(both(path)[1]) == fingerprint(both(path)[0])


def test_a_file_that_changes_is_read_anew(folder):
    path = save_compressed(arrays("bits"))
    first = fingerprint(both(path)[1])
    save_npz({name: 1 - x for name, x in arrays("bits").items()})
    here, there = both(path)
    assert fingerprint(there) == fingerprint(here) != first


def test_what_is_no_array_is_refused_and_leaves_nothing(folder):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    def refused(path, match):
        with pytest.raises(ValueError, match=match):
            load_dataset(**asdict(NpzSettings(path=path, streaming=True)))
        left = [file for file in (folder / "data").rglob("*") if file.suffix != ".lock"]
        assert left in ([], [folder / "data/tables"])

    np.savez("t.npz", train=np.array([[Trap()]], dtype=object))
    refused("t.npz", "objects")
    np.savez_compressed("t.npz", train=np.array([[Trap()]], dtype=object))
    refused("t.npz", "objects")
    whole = Path(save_npz(arrays("bits"))).read_bytes()
    Path("cut.npz").write_bytes(whole[: len(whole) // 2])
    refused("cut.npz", "cut.npz")
    Path("none").mkdir()
    refused("none", "has no train.npy; it has no array")
    np.save("t.npy", np.zeros(3))
    refused("t.npy", r"shape \(3,\)")
    np.save("t.npy", np.array([[0.5, 1], [np.nan, 2]]))
    refused("t.npy", "row 1, column 0 is nan")


def test_a_size_that_an_archive_cannot_have_is_not_believed(folder):
    file = folder / save_npz(arrays())
    content = bytearray(file.read_bytes())
    at = content.index(b"PK\1\2") + 24  # what the first member is said to have
    content[at : at + 4] = b"\xf0\xff\xff\xff"
    file.write_bytes(content)
    assert needed_memory(file) <= 3 * 1032 * len(content) < 2**32


def test_what_would_not_fit_stays_on_disk(folder, monkeypatch):
    path = save_compressed(arrays("bits", rows=3000))
    assert needed_memory(Path(path)) > 3 * 3000 * 6
    monkeypatch.setattr(storage, "available_memory", lambda: needed_memory(Path(path)))
    assert load_dataset(**asdict(NpzSettings(path=path))).is_mapped
    monkeypatch.setattr(storage, "available_memory", lambda: 2 * needed_memory(Path(path)))
    assert not load_dataset(**asdict(NpzSettings(path=path))).is_mapped


def train(name, *overrides):
    arguments = ["dataset=npz", "model.hidden_sizes=[8]", "trainer.max_steps=12"]
    arguments += ["trainer.tensorboard=false", f"hydra.run.dir={name}"]
    assert main([*arguments, *overrides]) == 0
    results = read_results(Path(name))
    left_out = ("seconds", "memory_estimate", "versions", "examples_per_second", "git_commit")
    numbers = {key: value for key, value in results.items() if not any(x in key for x in left_out)}
    return numbers, load_checkpoint(Path(name, "checkpoints/best.pt"))["model"]


@pytest.mark.parametrize("kind", ["bits", "mixed"])
def test_a_run_on_disk_is_that_in_memory(folder, kind):
    path = f"dataset.path={save_folder(arrays(kind))}"
    options = (path, "ordering=agnostic", "trainer.batch_size=20", "model.baselines=[independent]")
    here = train("here", *options, "dataset.streaming=false")
    there = train("there", *options, "dataset.streaming=true")
    assert here[0] == there[0]
    assert all(torch.equal(here[1][key], there[1][key]) for key in here[1])
