"""1D and 2D densities: the course's draws, exact tables, and pictures that are no density."""

import math

import numpy as np
import pytest
import torch
from builders import load_dataset
from PIL import Image

from made_exp.datasets.base import reference_nll
from made_exp.datasets.densities_2d import draw_smiley, read_picture
from made_exp.variables.variable import Kind


def load(tmp_path, name, **options):
    return load_dataset(name, seed=0, data_dir=tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "bins", "sizes", "nll"),
    [
        # Published scores of the generators on these very test splits.
        ("gaussian_1d", 20, (800, 100, 200), 2.0431),
        ("bimodal_1d", 100, (8000, 1000, 2000), 4.0315),
    ],
)
def test_1d_sets_are_the_courses(tmp_path, name, bins, sizes, nll):
    dataset = load(tmp_path, name)
    assert (len(dataset.train), len(dataset.valid), len(dataset.test)) == sizes
    assert dataset.variables[0].kind is Kind.ORDINAL
    assert dataset.true_probs.shape == (bins,)
    assert float(dataset.true_probs.sum()) == pytest.approx(1, abs=1e-12)
    assert reference_nll(dataset, "test") == pytest.approx(nll, abs=5e-5)
    assert "valid" in dataset.note


@pytest.mark.parametrize("name", ["gaussian_1d", "bimodal_1d"])
def test_1d_draws_come_from_the_table(tmp_path, name):
    dataset = load(tmp_path, name)
    for split in ("train", "valid", "test"):
        x = dataset.split(split)[:, 0].long()
        expected = dataset.true_probs * len(x)
        counts = torch.bincount(x, minlength=len(expected))
        chi2 = ((counts - expected) ** 2 / expected.clamp_min(1e-9))[expected > 1].sum()
        degrees = int((expected > 1).sum())
        assert chi2 < degrees + 5 * math.sqrt(2 * degrees)


def test_1d_tables_are_exact():
    """The bins' probabilities, against numerical integration of the density."""
    from made_exp.datasets import densities_1d

    edges = np.linspace(0, 1, 20)
    inner = np.linspace(edges[6], edges[7], 2001)
    density = np.exp(-0.5 * ((inner - 0.4) / 0.1) ** 2) / (0.1 * math.sqrt(2 * math.pi))
    dataset = densities_1d.load_gaussian(seed=0, data_dir=None)
    assert float(dataset.true_probs[7]) == pytest.approx(np.trapezoid(density, inner), rel=1e-6)
    assert float(densities_1d.load_bimodal(seed=0, data_dir=None).true_probs[0]) == 0


def test_2d_set_is_drawn_from_its_table_rows_first(tmp_path):
    picture = np.zeros((4, 4), np.uint8)
    picture[1] = 200
    picture[:, 3] = 50
    Image.fromarray(picture).save(tmp_path / "p.png")
    dataset = load(tmp_path, "image_2d", path="p.png", size=4, num_examples=1000)
    assert [v.name for v in dataset.variables] == ["row", "column"]
    assert [v.num_values for v in dataset.variables] == [4, 4]
    assert all(v.kind is Kind.ORDINAL for v in dataset.variables)
    assert torch.equal(dataset.true_probs, torch.from_numpy(picture / picture.sum()))
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [800, 100, 200]
    for row, column in dataset.train.tolist():
        assert picture[row, column] > 0
    counts = torch.zeros(4, 4)
    counts.index_put_(tuple(dataset.train.long().T), torch.ones(800), accumulate=True)
    assert (counts / 800 - dataset.true_probs).abs().max() < 0.06
    assert reference_nll(dataset, "test") < math.log(16)


def test_smiley_is_drawn_without_any_file(tmp_path):
    dataset = load(tmp_path, "smiley")
    assert dataset.true_probs.shape == (25, 25)
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [8000, 1000, 2000]
    assert list(tmp_path.iterdir()) == []
    face = draw_smiley(100)
    np.testing.assert_allclose(face, face[:, ::-1])  # both sides alike
    assert face[50, 50] == 205  # nose
    assert face[36, 37] == 0  # eye
    assert face[0, 0] == 255  # outside
    assert face[73:90, 50].min() == 0  # mouth
    again = load(tmp_path, "smiley", num_examples=5000)
    assert not torch.equal(again.test, dataset.test)
    assert torch.equal(load(tmp_path, "smiley").valid, dataset.valid)


def test_size_beyond_a_byte_is_kept(tmp_path):
    dataset = load(tmp_path, "smiley", size=300)
    assert dataset.train.max() > 256
    assert dataset.train.dtype == torch.int64


@pytest.mark.parametrize("name", ["smiley", "hinton", "image_2d"])
@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"size": 1}, "size must be >= 2, got 1"),
        ({"num_examples": 9}, "num_examples must be >= 10, got 9"),
    ],
)
def test_numbers_that_are_too_small_are_named(tmp_path, name, numbers, message):
    path = {"path": "x.png"} if name == "image_2d" else {}
    with pytest.raises(ValueError, match=message):
        load(tmp_path, name, **numbers, **path)


def image_file(tmp_path, name, image):
    image.save(tmp_path / name)
    return tmp_path / name


def test_pictures_that_cannot_be_a_density_are_named(tmp_path):
    gradient = Image.linear_gradient("L")
    cases = {
        "cannot read picture": "junk.png",
        "is an empty file": "empty.png",
        "all of one colour": "grey.png",
    }
    (tmp_path / "junk.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"junk" * 50)
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "grey.png")
    for message, name in cases.items():
        with pytest.raises(ValueError, match=message):
            load(tmp_path, "image_2d", path=name)
    whole = image_file(tmp_path, "whole.png", gradient).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot read picture .*cut.png"):
        load(tmp_path, "image_2d", path="cut.png")
    with pytest.raises(ValueError, match="not found"):
        load(tmp_path, "image_2d", path="none.png")


def test_huge_picture_is_refused_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    image_file(tmp_path, "huge.png", Image.linear_gradient("L"))
    with pytest.raises(ValueError, match=r"cannot read picture .*pixels"):
        load(tmp_path, "image_2d", path="huge.png")


def test_transparent_is_black_and_palettes_and_deep_pictures_are_read(tmp_path):
    rgba = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    rgba.paste((255, 255, 255, 255), (0, 0, 4, 8))
    grey = read_picture(image_file(tmp_path, "a.png", rgba), 2)
    assert grey.shape == (2, 2)
    assert grey[0, 0] > 200
    assert grey[0, 1] < 30
    palette = Image.linear_gradient("L").convert("P")
    assert read_picture(image_file(tmp_path, "p.png", palette), 8)[7, 0] > 200
    deep = Image.fromarray(np.linspace(0, 60000, 64).astype(np.uint16).reshape(8, 8))
    assert read_picture(image_file(tmp_path, "d.png", deep), 8)[7, 7] > 50000
    bilevel = Image.fromarray(np.eye(8) > 0)
    assert read_picture(image_file(tmp_path, "b.png", bilevel), 8).max() == 255
