"""Thousands of variables: nothing is kept for each pair of them that was not asked for."""

import torch
from builders import binary_variables, make_schedules

from made_exp.datasets.base import Dataset
from made_exp.datasets.baselines import scores
from made_exp.experiments import table_rows
from made_exp.masks import connectivity
from made_exp.masks.schedule import MaskSchedule
from made_exp.model import build
from made_exp.settings.model import MAX_DIRECT, MadeSettings
from made_exp.variables.variable import MANY_NUMBERS, Kind, Variable


def binary_dataset(num_rows, num_dims):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, (3, num_rows, num_dims), generator=generator, dtype=torch.uint8)
    return Dataset("wide", tuple(binary_variables(num_dims)), *x)


def test_direct_connections_of_wide_data_are_there_only_if_asked_for():
    side = 4096
    assert MadeSettings().connects_directly(side, MAX_DIRECT // side)
    assert not MadeSettings().connects_directly(side, MAX_DIRECT // side + 1)
    assert MadeSettings(direct_connections=True).connects_directly(side, MAX_DIRECT // side + 1)
    assert not MadeSettings(direct_connections=False).connects_directly(2, 2)


def test_many_numbers_have_direct_connections_only_if_asked_for():
    def connects(count, **options):
        variables = [Variable(f"x{d}", Kind.REAL) for d in range(count)]
        schedules = make_schedules("natural", count, (5,))
        network = MadeSettings(hidden_sizes=[5], **options)
        return build.build_made(variables, schedules, network).members[0].direct is not None

    assert connects(MANY_NUMBERS)
    assert not connects(MANY_NUMBERS + 1)
    assert connects(MANY_NUMBERS + 1, direct_connections=True)


def test_paths_by_block_are_the_paths(monkeypatch):
    masks = MaskSchedule(tuple(torch.randperm(9).tolist()), (5, 7), seed=3).mask_set(0)
    whole = connectivity.reachable(masks)
    monkeypatch.setattr(connectivity, "_OUTPUTS", 2)
    outputs, _, _ = zip(*connectivity.reachable_by_block(masks), strict=True)
    assert [len(part) for part in outputs] == [2, 2, 2, 2, 1]
    assert torch.equal(connectivity.reachable(masks), whole)


def test_paths_are_multiplied_once_for_outputs_that_do_not_differ():
    masks = MaskSchedule(tuple(torch.randperm(4000).tolist()), (20, 6), seed=3).mask_set(0)
    blocks = list(connectivity.reachable_by_block(masks))
    assert len(blocks) == 4
    assert sum(len(rows) for _, _, rows in blocks) <= 7 + len(blocks)


def test_each_pair_of_many_variables_is_compared_by_no_baseline(monkeypatch, tmp_path, caplog):
    dataset = binary_dataset(20, 6)
    assert "chow_liu" in scores.load_or_compute(dataset, tmp_path / "narrow")
    monkeypatch.setattr(scores, "MAX_PAIRED", 5)
    with caplog.at_level("INFO"):
        assert "chow_liu" not in scores.load_or_compute(dataset, tmp_path / "wide")
    assert "there are 6" in caplog.text


def test_fewer_rows_of_wide_tables_are_compared_the_same_rows_of_both_splits(monkeypatch):
    dataset = binary_dataset(20, 6)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    both = torch.cat([dataset.train, dataset.valid])
    assert torch.equal(table_rows.some_rows(dataset)[0], both[order])
    monkeypatch.setattr(table_rows, "_MAX_CELLS", 60)
    assert torch.equal(table_rows.some_rows(dataset)[0], both[order[:10]])
