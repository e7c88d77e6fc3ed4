"""The genuine files, from $MADE_TEST_DATA or shared/data beside the repository if there."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import load_dataset

from made_exp.datasets.base import SPLITS, reference_nll
from made_exp.datasets.baselines.scores import compute

FOLDER = Path(os.environ.get("MADE_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


def real(relative):
    path = FOLDER / relative
    if not path.exists():
        pytest.skip(f"{path} is not there; point MADE_TEST_DATA at a folder with real files")
    return path


def test_mnist_is_the_genuine_one():
    real("mnist/train-images-idx3-ubyte.gz")
    dataset = load_dataset("mnist", seed=0, data_dir=FOLDER, context="labels")
    shapes = [tuple(dataset.split(s).shape) for s in ("train", "valid", "test")]
    assert shapes == [(50_000, 784), (10_000, 784), (10_000, 784)]
    assert dataset.train_context[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert dataset.test_context[:5].tolist() == [7, 2, 1, 0, 4]
    assert torch.cat([dataset.train_context, dataset.valid_context]).bincount().tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]


def test_fashion_mnist_is_the_genuine_one():
    real("fashion_mnist/train-images-idx3-ubyte.gz")
    dataset = load_dataset("fashion_mnist", seed=0, data_dir=FOLDER, context="labels")
    assert dataset.test_context.bincount().tolist() == [1000] * 10
    assert dataset.class_names[-1] == "ankle boot"


def test_binarizations_of_mnist_differ_and_agree_in_mean():
    real("mnist/train-images-idx3-ubyte.gz")
    fixed = load_dataset("mnist", seed=0, data_dir=FOLDER, binarization="fixed")
    dynamic = load_dataset("mnist", seed=1, data_dir=FOLDER, binarization="dynamic")
    assert torch.equal(fixed.test, dynamic.test)
    grey = dynamic.train.double().mean() / 255
    assert float(fixed.train.double().mean()) == pytest.approx(float(grey), abs=2e-4)


@pytest.mark.parametrize(
    ("file", "independent", "chow_liu"),
    [
        ("npz/adult.npz", 25.772, 18.512),
        ("npz/connect4.npz", 35.338, 20.571),
        ("uci/dna.npz", 100.388, 87.718),
        ("uci/mushrooms.npz", 34.232, 20.957),
        ("npz/nltcs.npz", None, 6.759),
        ("npz/plants.npz", None, 16.524),
        ("npz/accidents.npz", None, 33.187),
    ],
)
def test_baselines_are_the_known_ones(file, independent, chow_liu):
    path = real(file)
    dataset = load_dataset("npz", seed=0, data_dir=FOLDER, path=str(path))
    scores = compute(dataset)
    assert scores["chow_liu"] == pytest.approx(chow_liu, abs=0.005)
    if independent:
        assert scores["independent"] == pytest.approx(independent, abs=0.001)


@pytest.mark.parametrize(
    ("name", "sizes"), [("dna", (1400, 600, 1186)), ("mushrooms", (2000, 500, 5624))]
)
def test_uci_tables_load_from_a_folder_that_is_not_written(name, sizes):
    real(f"uci/{name}.npz")
    before = sorted(FOLDER.rglob("*"))
    dataset = load_dataset(name, seed=0, data_dir=FOLDER)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == sizes
    assert dataset.is_binary
    assert sorted(FOLDER.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "options", "nll", "tolerance"),
    [("smiley", {"original": True}, 6.341, 0.015), ("hinton", {}, 10.506, 0.006)],
)
def test_2d_sets_score_as_published(name, options, nll, tolerance):
    """Per example; the published generator scores are twice 3.1705 and 5.2529."""
    real("images/smiley.jpg")
    dataset = load_dataset(name, seed=0, data_dir=FOLDER, **options)
    assert reference_nll(dataset, "test") == pytest.approx(nll, abs=tolerance)
    p = dataset.true_probs
    assert float(-torch.xlogy(p, p).sum()) == pytest.approx(nll, abs=0.002)


@pytest.mark.parametrize("table", ["nltcs", "accidents"])
def test_tables_of_the_twenty_are_the_published_ones(table, tmp_path):
    """Written as they are published, they have the published checksums."""
    arrays = np.load(real(f"npz/{table}.npz"))
    (tmp_path / "debd" / table).mkdir(parents=True)
    for split in SPLITS:
        text = "\n".join(",".join(map(str, row)) for row in arrays[split].tolist())
        (tmp_path / "debd" / table / f"{table}.{split}.data").write_text(f"{text}\n")
    dataset = load_dataset("debd", seed=0, data_dir=tmp_path, table=table)
    assert all(np.array_equal(dataset.split(split), arrays[split]) for split in SPLITS)


def test_fixed_binarized_mnist_is_an_image_table():
    path = real("npz/binarized_mnist.npz")
    dataset = load_dataset("npz", seed=0, data_dir=FOLDER, path=str(path))
    assert dataset.image_shape == (28, 28)
    assert dataset.is_binary
    assert np.prod(dataset.train.shape) == 50_000 * 784
