"""The user's own tables in .npz files: what is inferred, what is refused and how it is named."""

import io
import zipfile

import numpy as np
import pytest
import torch
from builders import load_dataset

from made_exp.datasets.inference import infer_variables
from made_exp.datasets.tables import split_rows
from made_exp.variables.variable import Kind

BITS = np.random.RandomState(0).randint(2, size=(50, 4)).astype(np.uint8)


def load(tmp_path, context="none", seed=0, **arrays):
    np.savez(tmp_path / "table.npz", **arrays)
    return load_dataset("npz", seed=seed, data_dir=tmp_path, path="table.npz", context=context)


def test_given_splits_are_kept(tmp_path):
    dataset = load(tmp_path, train=BITS[:30], valid=BITS[30:40], test=BITS[40:], image_shape=[2, 2])
    assert torch.equal(dataset.train, torch.from_numpy(BITS[:30]))
    assert torch.equal(dataset.test, torch.from_numpy(BITS[40:]))
    assert dataset.is_binary
    assert dataset.image_shape == (2, 2)
    assert dataset.name == "table"


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.float32, np.float64])
def test_binary_data_of_any_dtype_become_bytes(tmp_path, dtype):
    dataset = load(tmp_path, train=BITS.astype(dtype))
    assert dataset.is_binary
    assert dataset.train.dtype == torch.uint8


def test_missing_splits_are_cut_out_of_train_by_seed(tmp_path):
    rows = np.arange(100)[:, None] * np.ones((1, 2), int)
    one, again, other = (load(tmp_path, train=rows, seed=seed) for seed in (0, 0, 1))
    assert [len(one.train), len(one.valid), len(one.test)] == [80, 10, 10]
    together = torch.cat([one.train, one.valid, one.test])[:, 0]
    assert sorted(together.tolist()) == list(range(100))
    assert torch.equal(one.test, again.test)
    assert not torch.equal(one.test, other.test)


def test_only_the_missing_split_is_cut_out(tmp_path):
    dataset = load(tmp_path, train=BITS[:40], test=BITS[40:])
    assert [len(dataset.train), len(dataset.valid), len(dataset.test)] == [36, 4, 10]


def test_published_names_of_splits_are_accepted(tmp_path):
    dataset = load(tmp_path, train_data=BITS[:30], valid_data=BITS[30:40], test_data=BITS[40:])
    assert len(dataset.train) == 30


def test_kinds_are_inferred_by_column_over_all_splits(tmp_path):
    table = np.array([[0, 0, 0, 5], [1, 2, 300, 5], [1, 1, 7, 5]])
    dataset = load(tmp_path, train=table, valid=table, test=np.array([[0, 9, 0, 0]]))
    kinds = [(v.kind, v.num_values) for v in dataset.variables]
    assert kinds == [
        (Kind.BINARY, 2),
        (Kind.CATEGORICAL, 10),
        (Kind.INTEGER, 301),
        (Kind.CATEGORICAL, 6),
    ]
    assert dataset.train.dtype == torch.int64


def test_real_columns_are_standardised_by_train(tmp_path):
    train = np.array([[0.5, 1.0, 1], [2.5, 0.0, 3], [4.5, 1.0, 8]])
    dataset = load(tmp_path, train=train, valid=train + 100, test=train)
    assert [v.kind for v in dataset.variables] == [Kind.REAL, Kind.REAL, Kind.REAL]
    z = dataset.variables[0].transform.forward(dataset.train[:, 0])
    assert float(z.mean()) == pytest.approx(0, abs=1e-9)
    assert float(z.std(correction=0)) == pytest.approx(1)
    assert dataset.train.dtype == torch.float64


def test_arrays_of_different_width_are_refused():
    with pytest.raises(ValueError, match="'test' of t has 3 columns, 'train' has 2"):
        infer_variables({"train": np.zeros((4, 2)), "test": np.zeros((4, 3))}, "t")


def test_a_far_offset_changes_nothing(tmp_path):
    z = np.random.RandomState(0).randn(400, 1)
    near, far = (load(tmp_path, train=z + shift, valid=z, test=z) for shift in (0.0, 1e9))
    forward = [d.variables[0].transform.forward(d.train[:, 0]) for d in (near, far)]
    torch.testing.assert_close(forward[0], forward[1], rtol=0, atol=1e-6)


def test_spikes_and_tails_are_found_as_in_any_table(tmp_path):
    rng = np.random.RandomState(0)
    money = np.where(rng.rand(500) < 0.5, 0, np.round(np.exp(3 * rng.randn(500)), 2))
    dataset = load(tmp_path, train=np.stack([money, rng.randn(500)], 1))
    spiky, plain = dataset.variables
    assert spiky.atoms[0] == 0
    assert spiky.resolution == pytest.approx(0.01)
    assert spiky.transform.bend < plain.transform.bend
    assert (plain.atoms, len(plain.knots)) == ((), 16)


def test_values_that_come_again_are_found_as_in_any_table(tmp_path):
    rng = np.random.RandomState(0)
    again = rng.choice(np.round(rng.randn(200), 6), 1000)
    again_variable, plain = load(tmp_path, train=np.stack([again, rng.randn(1000)], 1)).variables
    assert again_variable.echoes
    assert sum(again_variable.echo_counts) <= 1000
    assert plain.echoes == ()


def test_labels_become_context(tmp_path):
    labels = {f"{s}_labels": np.arange(10) % 3 for s in ("train", "valid", "test")}
    splits = {"train": BITS[:10], "valid": BITS[10:20], "test": BITS[20:30]}
    dataset = load(tmp_path, context="labels", **splits, **labels)
    assert dataset.num_classes == 3
    assert dataset.test_context.tolist() == labels["test_labels"].tolist()
    assert load(tmp_path, **splits, **labels).train_context is None


def test_labels_follow_their_rows_into_the_splits(tmp_path):
    rows = np.arange(100)[:, None] * np.ones((1, 2), int)
    dataset = load(tmp_path, context="labels", train=rows, train_labels=np.arange(100) % 7)
    for split in ("train", "valid", "test"):
        assert torch.equal(dataset.split(split)[:, 0].long() % 7, dataset.context(split))


BAD_NAN = BITS.astype(float)
BAD_NAN[17, 2] = np.nan
BAD_NEGATIVE = BITS.astype(int)
BAD_NEGATIVE[3, 1] = -4


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": BAD_NAN}, r"'train' of .* finite numbers: row 17, column 2 is nan"),
        ({"train": BITS, "test": np.full((3, 4), np.inf)}, r"'test' of .* row 0, column"),
        ({"train": BAD_NEGATIVE}, r"integers must be 0 or more: row 3, column 1 is -4"),
        ({"train": BITS[0]}, r"shape \(4,\); a table \(rows, variables\)"),
        ({"train": BITS[:0]}, "is empty"),
        ({"train": BITS, "valid": BITS[:, :3]}, "'valid' of .* 3 columns, 'train' has 4"),
        ({"train": BITS.astype(str)}, "dtype <U"),
        ({"train": BITS.astype(complex)}, "dtype complex"),
        ({"test": BITS}, "has no array 'train'; it has test"),
        ({"train": BITS, "image_shape": [3, 3]}, "product 4, got"),
        ({"train": BITS[:2]}, "2 rows are too few"),
        ({"train": np.array([[0.5, 7.1], [1.5, 7.1]])}, "column 1 of 'train' .* constant"),
        ({"train": np.array([[2**51], [1]])}, "column 0 .* integers must be at most"),
    ],
)
def test_bad_table_is_named_with_row_and_column(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, **arrays)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "no array 'train_labels'"),
        ({"train_labels": np.zeros(9, int)}, "must be 50 integers"),
        ({"train_labels": np.zeros(50)}, "must be 50 integers"),
        ({"train_labels": np.full(50, -1)}, "must be 50 integers"),
    ],
)
def test_bad_labels_are_refused(tmp_path, labels, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, context="labels", train=BITS, **labels)


def test_pickled_objects_are_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    np.savez(tmp_path / "trap.npz", train=np.array([[Trap()]], dtype=object))
    with pytest.raises(ValueError, match=r"cannot read .*trap.npz"):
        load_dataset("npz", seed=0, data_dir=tmp_path, path="trap.npz")


def test_a_member_that_is_no_array_is_named(tmp_path):
    np.savez(tmp_path / "t.npz", train=BITS)
    with zipfile.ZipFile(tmp_path / "t.npz", "a") as archive:
        archive.writestr("image_shape", b"2 2")
    with pytest.raises(ValueError, match=r"t.npz as .npz: 'image_shape' is no array"):
        load_dataset("npz", seed=0, data_dir=tmp_path, path="t.npz")


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"not found: nope.npz \(dataset.path\); set MADE_DATA_DIR"
    ):
        load_dataset("npz", seed=0, data_dir=tmp_path, path="nope.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        load_dataset("npz", seed=0, data_dir=tmp_path, path="folder.npz")


def test_truncated_file_is_refused_wherever_it_ends(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, train=BITS, test=BITS)
    whole, file = buffer.getvalue(), tmp_path / "cut.npz"
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut.npz"):
            load_dataset("npz", seed=0, data_dir=tmp_path, path="cut.npz")


def test_member_that_claims_more_than_memory_is_refused(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999, 999999999), }\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("train.npy", content)
    with pytest.raises(ValueError, match=r"cannot read .*bomb.npz"):
        load_dataset("npz", seed=0, data_dir=tmp_path, path="bomb.npz")


def test_split_rows_gives_every_split_a_row():
    rows = split_rows(3, {"valid": 0.1, "test": 0.1}, seed=0)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == [0, 1, 2]
    assert all(len(r) == 1 for r in rows.values())
