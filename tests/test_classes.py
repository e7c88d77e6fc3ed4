"""Class-conditional models: labels reach every variable, samples and completions follow them."""

import numpy as np
import pytest
import torch
from experiment_cases import make_settings, read_results, sample_run

from made_exp import load_run
from made_exp.experiments.experiment import run

NUM_DIMS, NUM_CLASSES = 9, 3
# In class c the bits of row c of a 3 x 3 picture are mostly on, the others mostly off.
ON, OFF = 0.9, 0.1


def probabilities():
    return np.repeat(np.where(np.eye(NUM_CLASSES, dtype=bool), ON, OFF), 3, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """bars.npz, and in run/ a class-conditional model of it that can complete any pattern."""
    folder = tmp_path_factory.mktemp("classes")
    rng = np.random.default_rng(0)
    arrays = {"image_shape": np.array([3, 3])}
    for split, count in (("train", 600), ("valid", 120), ("test", 120)):
        labels = np.arange(count) % NUM_CLASSES
        arrays[f"{split}_labels"] = labels
        bits = rng.random((count, NUM_DIMS)) < probabilities()[labels]
        arrays[split] = bits.astype(np.uint8)
    np.savez(folder / "bars.npz", **arrays)
    dataset = {"name": "npz", "path": str(folder / "bars.npz"), "context": "labels"}
    options = {
        "ordering": {"name": "agnostic", "num_orderings": 4},
        "trainer": {"epochs": 30, "samples_every": 0},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(make_settings(folder, dataset=dataset, **options), folder / "run")
        yield folder


def samples_of(path):
    with np.load(path) as archive:
        return dict(archive)


def test_the_likelihood_is_that_of_the_class(folder):
    entropy = -NUM_DIMS * (ON * np.log(ON) + OFF * np.log(OFF))
    results = read_results(folder / "run")
    assert results["test"]["nll"] == pytest.approx(entropy, abs=0.4)
    assert results["baselines"]["independent"] > entropy + 2  # which knows no labels
    model = load_run(folder / "run")
    x = torch.from_numpy(np.load(folder / "bars.npz")["test"])
    labels = torch.from_numpy(np.load(folder / "bars.npz")["test_labels"])
    right, wrong = model.log_prob(x, labels), model.log_prob(x, (labels + 1) % 3)
    assert right.mean() > wrong.mean() + 5
    with pytest.raises(ValueError, match=r"needs class labels 0\.\.2"):
        model.log_prob(x)


def test_samples_follow_their_class(folder, tmp_path):
    drawn = samples_of(sample_run(folder / "run", num_samples=900, path=tmp_path / "s.npz"))
    assert np.bincount(drawn["labels"]).tolist() == [300, 300, 300]
    for number in range(NUM_CLASSES):
        means = drawn["samples"][drawn["labels"] == number].mean(0)
        assert np.abs(means - probabilities()[number]).max() < 0.12


def test_one_class_can_be_drawn(folder, tmp_path):
    path = sample_run(folder / "run", num_samples=300, label="2", path=tmp_path / "s.npz")
    drawn = samples_of(path)
    assert set(drawn["labels"]) == {2}
    assert np.abs(drawn["samples"].mean(0) - probabilities()[2]).max() < 0.12
    for name in ("3", "-1", "bars"):
        with pytest.raises(ValueError, match=f"label '{name}' is not one of 0, 1, 2"):
            sample_run(folder / "run", label=name)


@pytest.mark.parametrize("label", [None, 1])
def test_pictures_show_classes(folder, tmp_path, label):
    from PIL import Image

    path = sample_run(folder / "run", num_samples=9, label=label, path=tmp_path / "s.png")
    with Image.open(path) as image:
        assert min(image.size) > 50
    assert (folder / "run/samples/final.png").exists()


def test_completions_follow_the_labels_of_the_examples(folder, tmp_path):
    x = np.full((3, NUM_DIMS), np.nan)
    x[:, 0] = 1
    np.savez(tmp_path / "given.npz", x=x, labels=np.arange(3))
    target = tmp_path / "out.npz"
    path = sample_run(
        folder / "run", observed=str(tmp_path / "given.npz"), num_samples=400, path=target
    )
    drawn = samples_of(path)
    assert (drawn["completions"][:, :, 0] == 1).all()
    means = drawn["completions"].mean(1)[:, 1:]
    assert np.abs(means - probabilities()[:, 1:]).max() < 0.15
    np.savez(tmp_path / "given.npz", x=x)
    with pytest.raises(ValueError, match="has no array 'labels'; give label="):
        sample_run(folder / "run", observed=str(tmp_path / "given.npz"), path=target)
    sample_run(folder / "run", observed=str(tmp_path / "given.npz"), label=0, path=target)
    assert samples_of(target)["labels"].tolist() == [0, 0, 0]
    assert sample_run(folder / "run", observed="top_half", path=tmp_path / "c.png").exists()
