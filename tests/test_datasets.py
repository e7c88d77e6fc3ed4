"""The record, shapes, MNIST files, npz tables: on files made here."""

import gzip
import hashlib
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import load_dataset

from made_exp.datasets import debd, mnist, shapes, uci
from made_exp.datasets.base import SPLITS, Dataset, _told, fingerprint, reference_nll
from made_exp.datasets.download import cached
from made_exp.datasets.registry import DATASETS, DEBD_TABLES, OUTSIDE
from made_exp.variables.variable import Kind, Variable, binary_variables


def binary_dataset(**changes):
    x = torch.tensor([[0, 1], [1, 1], [0, 0]], dtype=torch.uint8)
    return Dataset(
        **{"name": "toy", "variables": binary_variables(2)} | dict.fromkeys(SPLITS, x) | changes
    )


# --- the record ---


def test_record_knows_its_splits():
    dataset = binary_dataset()
    assert dataset.num_dims == 2
    assert dataset.is_binary
    assert dataset.split("valid") is dataset.valid
    with pytest.raises(ValueError, match="split must be one of train, valid, test, got 'vaild'"):
        dataset.split("vaild")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": torch.zeros(3, 5)}, r"test split .* shape \(3, 5\)"),
        ({"valid": torch.zeros(0, 2)}, "valid split .* no rows"),
        ({"image_shape": (2, 2)}, "2x2 = 4 pixels"),
        ({"num_classes": 3}, "context and num_classes"),
    ],
)
def test_record_refuses_splits_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        binary_dataset(**changes)


def test_fingerprint_is_of_the_content_not_of_the_name():
    dataset = binary_dataset()
    assert fingerprint(dataset) == fingerprint(binary_dataset(name="other", note="x"))
    other = dataset.train.clone()
    other[0, 0] = 1
    assert fingerprint(dataset) != fingerprint(binary_dataset(train=other))
    assert fingerprint(dataset) != fingerprint(binary_dataset(valid=other))


def test_fingerprint_leaves_out_what_is_at_its_default():
    """A field that a later version adds does not make the data of older runs strangers."""
    plain = Variable("a", Kind.CATEGORICAL, 3)
    assert _told(plain) == "(name='a',kind=<Kind.CATEGORICAL: 'categorical'>,num_values=3)"
    assert _told(replace(plain, reserve=0.5)) == _told(plain)[:-1] + ",reserve=0.5)"
    assert _told({"offset": 3, "later": None, "other": ()}) == _told({"offset": 3})
    assert len({_told({"offset": offset}) for offset in (None, 0, 3, 4)}) == 4
    assert _told([(1.0, plain), "x"]) == f"[[1.0,{_told(plain)}],'x']"


def test_reference_nll_is_that_of_the_table():
    probs = torch.tensor([[0.1, 0.2], [0.3, 0.4]])
    dataset = binary_dataset(true_probs=probs)
    expected = -(np.log(0.2) + np.log(0.4) + np.log(0.1)) / 3
    assert reference_nll(dataset, "test") == pytest.approx(expected, abs=1e-6)
    assert reference_nll(binary_dataset(), "test") is None


def test_registry_has_every_dataset_of_the_package():
    assert {"shapes", "mnist", "fashion_mnist", "npz", "table", "csv", "rcv1", "image_2d"} <= set(
        DATASETS
    )
    assert len(DATASETS.keys() - OUTSIDE.keys()) == 22
    with pytest.raises(ValueError, match=r"dataset must be one of shapes, mnist.* got 'cifar'"):
        load_dataset("cifar", seed=0, data_dir="x")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gaussian_1d", {}),
        ("bimodal_1d", {}),
        ("smiley", {"num_examples": 50}),
    ],
)
def test_the_table_tells_what_is_loaded(name, options, tmp_path):
    dataset, known = load_dataset(name, seed=0, data_dir=tmp_path, **options), DATASETS[name]
    assert len(dataset.variables) == known.num_dims
    assert {variable.kind for variable in dataset.variables} == {known.kind}
    assert dataset.image_shape == known.image_shape


# --- shapes ---


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return load_dataset("shapes", seed=0, data_dir=folder, context="labels")


def test_shapes_have_the_sizes_of_the_original(labelled):
    assert len(labelled.train) + len(labelled.valid) == 10_479
    assert len(labelled.test) == 4_491
    assert labelled.image_shape == DATASETS["shapes"].image_shape == (20, 20)
    assert labelled.is_binary
    assert labelled.train.dtype == torch.uint8
    assert set(labelled.train.unique().tolist()) == {0, 1}
    counts = labelled.train_context.bincount()
    assert len(counts) == 4
    assert counts.min() > 2000


def test_shapes_are_what_their_labels_say(labelled):
    """Perimeter squared over area orders circle, square, triangle, star; centres are centred."""
    images = labelled.train.view(-1, 20, 20).double()
    area = images.sum((1, 2))
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    edges = (padded.diff(dim=1).abs().sum((1, 2)) + padded.diff(dim=2).abs().sum((1, 2))).double()
    spread = (images * _squared_distance()).sum((1, 2)) / area**2
    means = [float(spread[labelled.train_context == c].mean()) for c in range(4)]
    assert means == sorted(means)
    for c in range(3):  # neighbours in this order hardly overlap
        low = spread[labelled.train_context == c].quantile(0.9)
        assert low < spread[labelled.train_context == c + 1].quantile(0.1), shapes.CLASS_NAMES[c]
    assert edges.min() > 0
    position = torch.arange(20.0, dtype=torch.float64) - 9.5
    centre = (images.sum(1) * position).sum(1) / area
    assert centre.abs().max() < 0.5


def _squared_distance():
    offset = torch.arange(20.0, dtype=torch.float64) - 9.5
    return offset[:, None] ** 2 + offset[None, :] ** 2


def test_shapes_are_drawn_with_the_right_area():
    radius = np.full(4, 9.0)
    area = shapes.draw_shapes(np.arange(4), radius, np.full(4, 0.3)).sum((1, 2))
    star = 5 * np.sin(np.pi / 5) * 0.40
    exact = np.array([np.pi, 2.0, 3 * np.sqrt(3) / 4, star]) * 81
    np.testing.assert_allclose(area, exact, rtol=0.04)


@pytest.fixture
def few_shapes(monkeypatch):
    monkeypatch.setattr(shapes, "NUM_TRAIN", 1100)
    monkeypatch.setattr(shapes, "NUM_TEST", 10)


def test_shapes_come_from_the_cache_and_a_damaged_cache_is_rebuilt(few_shapes, tmp_path):
    first = load_dataset("shapes", seed=0, data_dir=tmp_path)
    file = tmp_path / "shapes" / "shapes-v1-seed0.npz"
    whole = file.read_bytes()
    file.touch()
    time = file.stat().st_mtime_ns
    load_dataset("shapes", seed=0, data_dir=tmp_path)
    assert file.stat().st_mtime_ns == time
    renamed = whole.replace(b"train", b"tra1n")
    for damage in (whole[: len(whole) // 2], b"", b"PK" + whole[50:], renamed):
        file.write_bytes(damage)
        again = load_dataset("shapes", seed=0, data_dir=tmp_path)
        assert torch.equal(again.train, first.train)
        assert file.read_bytes() == whole


def test_seed_decides_which_shapes(few_shapes, tmp_path):
    one, same = (load_dataset("shapes", seed=1, data_dir=tmp_path / str(i)) for i in range(2))
    other = load_dataset("shapes", seed=2, data_dir=tmp_path)
    assert torch.equal(one.test, same.test)
    assert not torch.equal(one.test, other.test)


# --- cache ---


def read_text(path):
    return path.read_text()


def write_text(path, text):
    path.write_text(text)


def test_cache_falls_back_to_the_users_folder_when_data_are_read_only(tmp_path, monkeypatch):
    from made_exp.datasets import download

    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    monkeypatch.setattr(download.platformdirs, "user_cache_path", lambda name: home)
    data.chmod(0o555)
    assert cached(data, "a/b", lambda: "made", read_text, write_text) == "made"
    assert list(data.iterdir()) == []
    assert (home / "a" / "b").read_text() == "made"
    assert cached(data, "a/b", lambda: pytest.fail("made again"), read_text, write_text) == "made"


def test_cache_is_not_required(tmp_path, monkeypatch):
    from made_exp.datasets import download

    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(download.platformdirs, "user_cache_path", lambda name: blocked)
    assert cached(blocked, "a/b", lambda: "made", read_text, write_text) == "made"


MAKE_SHAPES = """
import sys
from made_exp.datasets import shapes
shapes.NUM_TRAIN, shapes.NUM_TEST = 1100, 10
folder = __import__("pathlib").Path(sys.argv[1])
print(int(shapes.load(seed=3, data_dir=folder, context="none").train.sum()))
"""


def test_several_processes_can_fill_the_cache_at_once(tmp_path):
    command = [sys.executable, "-c", MAKE_SHAPES, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    answers = {run.communicate(timeout=120)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(answers) == 1
    assert [p.name for p in (tmp_path / "shapes").iterdir()] == ["shapes-v1-seed3.npz"]


# --- MNIST ---


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """30 training and 20 test images in the published format; the last 10 of train are valid."""
    random = np.random.RandomState(0)
    files = {
        "train-images-idx3": random.randint(256, size=(30, 28, 28)),
        "train-labels-idx1": np.arange(30) % 10,
        "t10k-images-idx3": random.randint(256, size=(20, 28, 28)),
        "t10k-labels-idx1": np.arange(20) % 10,
    }
    md5 = {}
    (tmp_path / "mnist").mkdir()
    for name, array in files.items():
        md5[name] = hashlib.md5(idx(array)).hexdigest()
        (tmp_path / "mnist" / f"{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    source = replace(mnist.SOURCES["mnist"], mirrors=("http://127.0.0.1:9/",), md5=md5)
    monkeypatch.setitem(mnist.SOURCES, "mnist", source)
    monkeypatch.setattr(mnist, "NUM_VALID", 10)
    return tmp_path, {name: array.reshape(len(array), -1) for name, array in files.items()}


def test_mnist_is_thresholded_and_split(tiny_mnist):
    folder, files = tiny_mnist
    dataset = load_dataset("mnist", seed=0, data_dir=folder, context="labels")
    expected = (files["train-images-idx3"] > 127.5).astype(np.uint8)
    assert torch.equal(dataset.train, torch.from_numpy(expected[:20]))
    assert torch.equal(dataset.valid, torch.from_numpy(expected[20:]))
    assert dataset.test_context.tolist() == [*range(10)] * 2
    assert dataset.train_context.dtype == torch.int64
    assert dataset.class_names == tuple("0123456789")
    assert not dataset.dynamic_binarization


def test_fixed_binarization_is_one_draw_with_the_right_probabilities(tiny_mnist):
    folder, files = tiny_mnist
    one = load_dataset("mnist", seed=0, data_dir=folder, binarization="fixed")
    two = load_dataset("mnist", seed=5, data_dir=folder, binarization="fixed")
    assert all(torch.equal(one.split(s), two.split(s)) for s in SPLITS)
    grey = torch.from_numpy(files["train-images-idx3"][:20]) / 255
    assert set(one.train.unique().tolist()) == {0, 1}
    excess = (one.train.double() - grey).sum() / (grey * (1 - grey)).sum().sqrt()
    assert abs(excess) < 4
    assert one.train[grey == 0].sum() == 0
    assert one.train[grey == 1].min() == 1


def test_dynamic_binarization_keeps_grey_levels_for_training_only(tiny_mnist):
    folder, files = tiny_mnist
    dynamic = load_dataset("mnist", seed=0, data_dir=folder, binarization="dynamic")
    fixed = load_dataset("mnist", seed=0, data_dir=folder, binarization="fixed")
    assert dynamic.dynamic_binarization
    assert torch.equal(dynamic.train.long(), torch.from_numpy(files["train-images-idx3"][:20]))
    assert torch.equal(dynamic.valid, fixed.valid)
    assert torch.equal(dynamic.test, fixed.test)


def test_mnist_files_need_not_be_packed(tiny_mnist):
    folder, _ = tiny_mnist
    before = load_dataset("mnist", seed=0, data_dir=folder)
    for packed in (folder / "mnist").glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    assert torch.equal(load_dataset("mnist", seed=0, data_dir=folder).train, before.train)


@pytest.mark.parametrize("keep", [0, 5, 100, -8, -1])
def test_truncated_mnist_is_refused(tiny_mnist, keep):
    folder, _ = tiny_mnist
    file = folder / "mnist" / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is damaged"):
        load_dataset("mnist", seed=0, data_dir=folder)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"binarization": "random"},
            "binarization: 'random' is not one of threshold, fixed",
        ),
        ({"context": "label"}, "context: 'label' is not one of none, labels"),
    ],
)
def test_mnist_refuses_unknown_options(tiny_mnist, option, message):
    with pytest.raises(ValueError, match=message):
        load_dataset("mnist", seed=0, data_dir=tiny_mnist[0], **option)


def test_published_checksums_are_complete():
    digests = [digest for source in mnist.SOURCES.values() for digest in source.md5.values()]
    assert all(len(digest) == 32 for digest in digests)
    assert max(Counter(digests).values()) == 1


# --- binarized MNIST, UCI ---


def test_amat_is_read_and_anything_else_refused(tmp_path, monkeypatch):
    file = tmp_path / "binarized_mnist" / "binarized_mnist_valid.amat"
    file.parent.mkdir()
    x = torch.randint(2, (3, 784), dtype=torch.uint8)
    text = "".join(" ".join(map(str, row)) + "\n" for row in x.tolist()).encode()
    monkeypatch.setattr(mnist, "BINARIZED_URL", "http://127.0.0.1:9/")
    digests = dict.fromkeys(SPLITS, hashlib.sha256(text).hexdigest())
    monkeypatch.setattr(mnist, "BINARIZED_SHA256", digests)
    for split in SPLITS:
        file.with_name(f"binarized_mnist_{split}.amat").write_bytes(text)
    assert torch.equal(load_dataset("binarized_mnist", seed=0, data_dir=tmp_path).valid, x)
    for wrong in (b"", text[:-2], text[:-2] + b"2\n", text[:-2] + b"x\n"):
        file.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"valid.amat is damaged"):
            load_dataset("binarized_mnist", seed=0, data_dir=tmp_path)


def test_uci_table_is_read_from_its_published_form(tmp_path, monkeypatch):
    random = np.random.RandomState(0)
    arrays = {f"{s}_data": random.randint(2, size=(9, 4)).astype(np.float32) for s in SPLITS}
    (tmp_path / "uci").mkdir()
    file = tmp_path / "uci" / "dna.npz"
    np.savez(file, **arrays, inputsize=np.int32(4))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setitem(uci.DIGESTS, "dna", digest)
    monkeypatch.setitem(DATASETS, "dna", replace(DATASETS["dna"], num_dims=4))
    dataset = load_dataset("dna", seed=0, data_dir=tmp_path)
    assert dataset.is_binary
    assert dataset.train.dtype == torch.uint8
    assert np.array_equal(dataset.test.numpy(), arrays["test_data"])
    monkeypatch.setitem(DATASETS, "dna", replace(DATASETS["dna"], num_dims=5))
    with pytest.raises(ValueError, match="not a binary table of 5 columns"):
        load_dataset("dna", seed=0, data_dir=tmp_path)


def test_a_table_of_the_twenty_is_read_from_its_published_form(tmp_path, monkeypatch):
    folder = tmp_path / "debd" / "nltcs"
    folder.mkdir(parents=True)
    x = np.random.RandomState(0).randint(2, size=(5, 16))
    text = "".join(",".join(map(str, row)) + "\n" for row in x.tolist()).encode()
    files = [folder / f"nltcs.{split}.data" for split in SPLITS]

    def write(content):
        files[0].write_bytes(text + text)
        files[1].write_bytes(content)
        files[2].write_bytes(text)
        digests = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        monkeypatch.setitem(debd.DIGESTS, "nltcs", digests)

    write(text)
    dataset = load_dataset("debd", seed=0, data_dir=tmp_path, table="nltcs")
    assert dataset.name == "debd/nltcs"
    assert dataset.is_binary
    assert dataset.train.dtype == torch.uint8
    assert np.array_equal(dataset.train.numpy(), np.concatenate([x, x]))
    for wrong in (b"", text[:-1], text.replace(b"1", b"2", 1), text.replace(b",", b";", 1)):
        write(wrong)
        with pytest.raises(ValueError, match=r"nltcs\.valid\.data is not lines of 16 bits|no rows"):
            load_dataset("debd", seed=0, data_dir=tmp_path, table="nltcs")
    write(text)
    files[2].write_bytes(text + b"\n")
    monkeypatch.setattr(debd, "_REPOSITORY", "http://127.0.0.1:9/")
    with pytest.raises(ValueError, match=r"nltcs\.test\.data is damaged"):
        load_dataset("debd", seed=0, data_dir=tmp_path, table="nltcs")


def test_the_twenty_tables_have_their_digests():
    assert debd.DIGESTS.keys() == DEBD_TABLES.keys()
    assert len({digest for digests in debd.DIGESTS.values() for digest in digests}) == 60


def test_variable_kinds_are_checked():
    with pytest.raises(ValueError, match="num_values"):
        Variable("x", Kind.BINARY, 3)
