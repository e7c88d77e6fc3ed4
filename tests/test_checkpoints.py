"""Checkpoints are whole or absent, fall back one generation, and never execute anything."""

import errno
import math
import os
import pickle
import zipfile

import pytest
import torch
from training_cases import OPTIMIZERS, make_case

from made_exp.errors import CheckpointError, DivergedError
from made_exp.runs import checkpoints
from made_exp.runs.checkpoints import load_checkpoint, save_checkpoint
from made_exp.training.learner import load_optimizer_state, optimizer_state


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.pt"


def save(path, number):
    save_checkpoint(path, {"number": number, "weights": torch.full((1000,), float(number))})


def test_round_trip(path):
    save(path, 1)
    content = load_checkpoint(path)
    assert content["number"] == 1
    assert torch.equal(content["weights"], torch.ones(1000))
    assert torch.load(path, weights_only=True)["schema"] == checkpoints.SCHEMA


def test_two_generations_are_kept_and_nothing_else(path):
    for number in range(4):
        save(path, number)
    assert load_checkpoint(path)["number"] == 3
    assert load_checkpoint(checkpoints.previous_generation(path))["number"] == 2
    assert sorted(p.name for p in path.parent.iterdir()) == ["last.previous.pt", "last.pt"]


def damages(content):
    yield "empty", b""
    yield "random", os.urandom(len(content))
    for share in (0.1, 0.5, 0.9, 0.99):
        yield f"cut at {share}", content[: int(len(content) * share)]
    for place in (10, len(content) // 2, len(content) - 30):
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        yield f"bit flipped at {place}", bytes(flipped)
    yield "zeroed tail", content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(path, caplog):
    save(path, 1)
    save(path, 2)
    for name, content in damages(path.read_bytes()):
        path.write_bytes(content)
        caplog.clear()
        number = load_checkpoint(path)["number"]
        # A flipped bit may hit padding, which says nothing; then the file is as good as whole.
        assert number == 1 or name.startswith("bit flipped"), name
        assert "falling back" in caplog.text or number == 2, name


def test_a_flipped_bit_in_a_weight_is_found(path, caplog):
    save(path, 1)
    save(path, 2)
    content = bytearray(path.read_bytes())
    place = content.find(torch.full((50,), 2.0).numpy().tobytes())
    content[place + 100] ^= 1
    path.write_bytes(content)
    assert load_checkpoint(path)["number"] == 1


def test_without_any_whole_generation_the_answer_is_one_error(path):
    save(path, 1)
    path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    save(path, 2)
    path.write_bytes(b"nonsense")
    checkpoints.previous_generation(path).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="cannot be read either"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"does not exist"):
        load_checkpoint(path.with_name("other.pt"))


def test_a_missing_last_checkpoint_falls_back_too(path):
    save(path, 1)
    save(path, 2)
    path.unlink()
    assert load_checkpoint(path)["number"] == 1


def test_other_versions_and_other_files_are_refused(path, monkeypatch):
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of made-exp"):
        load_checkpoint(path)
    monkeypatch.setattr(checkpoints, "SCHEMA", 99)
    save(path, 1)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"schema 99.*reads schema 3"):
        load_checkpoint(path)


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_nothing_in_a_checkpoint_is_executed(path, tmp_path):
    trap = tmp_path / "executed"
    torch.save({"kind": "made-exp checkpoint", "schema": 1, "x": Trap(trap)}, path)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap(trap)))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)
    assert not trap.exists()


def test_a_full_disk_leaves_earlier_checkpoints(path, monkeypatch):
    save(path, 1)
    save(path, 2)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for place in ("torch.save", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(CheckpointError, match=r"No space left.*intact"):
                save(path, 3)
        assert load_checkpoint(path)["number"] == 2
        assert load_checkpoint(checkpoints.previous_generation(path))["number"] == 1
    assert len(list(path.parent.iterdir())) == 2


def test_a_removed_folder_is_one_error(path, tmp_path):
    with pytest.raises(CheckpointError, match=r"does not exist|No such file"):
        save(tmp_path / "gone" / "last.pt", 1)


def test_a_kill_between_the_generations_leaves_the_one_before(path, monkeypatch):
    save(path, 1)
    save(path, 2)

    replace = os.replace

    def die_after(source, target):
        replace(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", die_after)
        with pytest.raises(KeyboardInterrupt):
            save(path, 3)
    assert checkpoints.exists(path)
    assert load_checkpoint(path)["number"] == 2


def test_a_full_disk_is_named_and_leaves_the_last_checkpoint(path):
    resource = pytest.importorskip("resource", reason="the size of files cannot be limited here")
    save(path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"File too large\. Earlier checkpoints"):
            save_checkpoint(path, {"number": 2, "weights": [torch.zeros(100_000)] * 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_checkpoint(path)["number"] == 1


@pytest.mark.parametrize("killed_at", ["best.pt", "last.pt"])
def test_last_and_best_agree_after_a_kill_between_them(tmp_path, monkeypatch, killed_at):
    monkeypatch.setattr("made_exp.training.keeper.SHARE_OF_TIME", math.inf)
    case = {"trainer": {"epochs": 9}}  # the best: evaluations 0, 1, 4 and those after
    whole = make_case(tmp_path / "whole", **case)
    whole.train()
    written = []

    def kill(path, content):
        written.append(path.name)
        if len(written) > 6 and path.name == killed_at:
            raise RuntimeError("killed")
        save_checkpoint(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("made_exp.training.keeper.save_checkpoint", kill)
        with pytest.raises(RuntimeError, match="killed"):
            make_case(tmp_path / "cut", **case).train()
    resumed = make_case(tmp_path / "cut", **case)
    resumed.keeper.restore()
    best = load_checkpoint(resumed.keeper.run.best)
    assert best["state"]["best_nll"] == resumed.state.best_nll
    resumed.train()
    one, two = (load_checkpoint(trainer.keeper.run.best) for trainer in (whole, resumed))
    assert one["state"]["best_nll"] == two["state"]["best_nll"]
    for name, value in one["model"].items():
        assert torch.equal(value, two["model"][name])


def test_at_the_end_the_best_checkpoint_holds_what_its_use_needs(tmp_path):
    trainer = make_case(tmp_path, trainer={"weight_averaging": 0.9})
    trainer.train()
    whole = load_checkpoint(trainer.keeper.run.best)
    trainer.keeper.restore_best()
    reduced = load_checkpoint(trainer.keeper.run.best)
    assert (
        reduced.keys() == {"kind", "schema", "model", "state"} | trainer.keeper.description.keys()
    )
    for name, weights in whole["model"].items():
        assert torch.equal(weights, reduced["model"][name])
        assert torch.equal(weights, trainer.learner.model.state_dict()[name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kernel", ["dense", "staircase"])
def test_optimizer_state_passes_through_the_layout_of_the_model(tmp_path, optimizer, kernel):
    first = make_case(tmp_path / "a", optimizer=optimizer, kernel=kernel)
    first.train()
    second = make_case(tmp_path / "b", optimizer=optimizer, kernel=kernel)
    (one,), (two,) = first.learner.members, second.learner.members
    saved = optimizer_state(one.network, one.optimizer)
    weights = one.network.state_dict()
    assert saved.keys() == weights.keys()
    for name, state in saved.items():
        assert any(value.shape == weights[name].shape for value in state.values())
    load_optimizer_state(two.network, two.optimizer, saved)
    for old, new in zip(one.network.parameters(), two.network.parameters(), strict=True):
        before, after = one.optimizer.state[old], two.optimizer.state[new]
        assert {k for k, v in before.items() if v is not None} == after.keys()
        for key, value in after.items():
            assert torch.equal(torch.as_tensor(before[key]), torch.as_tensor(value)), key


@pytest.mark.parametrize(("old", "new"), [("dense", "staircase"), ("staircase", "dense")])
def test_a_checkpoint_does_not_depend_on_the_kernel(tmp_path, old, new):
    whole = make_case(tmp_path / "whole", kernel=old)
    whole.train()
    make_case(tmp_path / "parts", kernel=old, trainer={"epochs": 2}).train()
    rest = make_case(tmp_path / "parts", kernel=new)
    rest.keeper.restore()
    rest.train()
    for name, value in whole.learner.model.state_dict().items():
        torch.testing.assert_close(rest.learner.model.state_dict()[name], value)


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    trainer = make_case(tmp_path)
    trainer.train()
    before = load_checkpoint(trainer.keeper.run.last)["state"]
    with torch.no_grad():
        next(trainer.learner.model.parameters()).fill_(float("nan"))
    trainer.state.step += 1
    with pytest.raises(DivergedError, match="not finite"):
        trainer.keeper.save(trainer.observer)
    assert load_checkpoint(trainer.keeper.run.last)["state"] == before
