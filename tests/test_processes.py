"""Members in several processes: the numbers of one process, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from itertools import repeat

import psutil
import pytest
import torch
from experiment_cases import make_settings, read_metrics, read_results

from made_exp.errors import DivergedError, TrainingError
from made_exp.experiments import share_of_machine as shares
from made_exp.experiments.experiment import run
from made_exp.experiments.run_observer import RunObserver
from made_exp.experiments.share_of_machine import share_of_machine
from made_exp.runs.checkpoints import load_checkpoint
from made_exp.settings.experiment import Settings
from made_exp.settings.model import MadeSettings
from made_exp.settings.ordering import EnsembleSettings
from made_exp.settings.training import TrainerSettings
from made_exp.training.agreement import NONE, Agreement, Wishes
from made_exp.training.forked_map import forked_map
from made_exp.training.sharing import all_mine, share_out
from made_exp.training.siblings import started
from made_exp.training.world import ALONE

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("made_exp.machine.num_cpus", lambda: 3)


@pytest.fixture(autouse=True)
def _no_child_is_left():
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def ensemble(folder, processes, **trainer):
    """Settings of an ensemble whose members differ in depth, penalty and order."""
    return make_settings(
        folder,
        ordering={"name": "ensemble", "num_orderings": 5, "shallow": 0.25},
        model={"name": "made", "hidden_sizes": [12, 8], "dropout": 0.1},
        trainer={
            "processes": processes,
            "epochs": 8,
            "sparsity": 0.1,
            "sparsity_spread": 8.0,
            "weight_averaging": 0.9,
            "samples_every": 5,
            "eval_batch_size": 15,
            **trainer,
        },
        scheduler={"name": "anneal", "patience": 1},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        run(ensemble(folder, 1), folder / "run")
    return folder / "run"


def plain(value, path=""):
    """Tensors and numbers of a checkpoint by path, without what depends on the clock."""
    items = {}
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in pairs:
            items |= plain(part, f"{path}/{key}")
        return items
    own = any(part in path for part in ("second", "memory_estimate"))
    own |= path.startswith(("/config/", "/records/"))
    return {} if own else {path: value}


def assert_same_run(one, two):
    assert read_results(one) == read_results(two)
    assert read_metrics(one) == read_metrics(two)
    for name in ("last.pt", "best.pt"):
        first, second = (plain(load_checkpoint(run / "checkpoints" / name)) for run in (one, two))
        assert first.keys() == second.keys()
        for path, value in first.items():
            same = torch.equal if torch.is_tensor(value) else lambda a, b: a == b
            assert same(value, second[path]), path


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_give_the_bits_of_one(tmp_path, whole, processes):
    run(ensemble(tmp_path, processes), tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(
        path.name for path in whole.iterdir()
    )


def test_a_run_that_is_stopped_goes_on_with_another_number(tmp_path, whole, monkeypatch):
    stepped = RunObserver.stepped

    def stop(self, state, *others):
        stepped(self, state, *others)
        if state.step in stops:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunObserver, "stepped", stop)
    for processes, stops in ((2, [7]), (1, [14]), (3, [])):
        settings = ensemble(tmp_path, processes)
        settings.resume = True
        if stops:
            with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
                run(settings, tmp_path / "run")
            assert (
                load_checkpoint(tmp_path / "run/checkpoints/last.pt")["state"]["step"] >= stops[0]
            )
        else:
            run(settings, tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_who_is_ahead_waits_for_the_others_and_all_do_the_same():
    def work(world):
        agreement, said = Agreement(world, drifts=True), []
        for step in range(1, 200):
            time.sleep(0.001 * (1 + world.rank))
            wishes = Wishes(save=world.rank == 2 and step == 20, stop=world.is_main and step == 150)
            said.append(agreement.after(step, wishes))
            if said[-1].stop:
                break
        else:
            said.append(agreement.before_evaluation(200, NONE))
        return world.gather([(step, wish) for step, wish in enumerate(said) if wish.any])

    with started(3, work) as world:
        first, *others = work(world)
    assert first
    assert others == [first, first]
    assert [wish for _, wish in first] == [Wishes(save=True), Wishes(stop=True)]


def test_at_an_evaluation_a_wish_is_heard_by_all():
    def work(world):
        agreement = Agreement(world, drifts=True)
        return world.gather(agreement.before_evaluation(7, Wishes(save=world.rank == 1)))

    with started(2, work) as world:
        assert work(world) == [Wishes(save=True)] * 2


def test_members_are_shared_out_by_their_cost():
    shares = share_out(ALONE, [1, 1, 1])
    assert shares.own == [0, 1, 2] == all_mine(3).own
    with started(2, lambda world: share_out(world, [5, 1, 1, 3]).collect(lambda m: m * m)) as world:
        shares = share_out(world, [5, 1, 1, 3])
        assert shares.owners == (0, 1, 1, 1)
        assert shares.collect(lambda member: member * member) == [0, 1, 4, 9]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_map_of_several_processes_is_the_map(count):
    assert list(forked_map(count)(pow, range(5), repeat(2))) == [0, 1, 4, 9, 16]
    assert list(forked_map(count)(pow, [], [])) == []


def die(world):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(world):
    raise MemoryError("no room")


def diverge(world):
    raise DivergedError("member 3 diverged")


def wait_for_call(world):
    while not world.is_called():
        time.sleep(0.001)
    world.any(False)


@pytest.mark.parametrize(
    ("work", "kind", "told"),
    [
        (
            die,
            TrainingError,
            r"process 2 of 2 \(pid \d+\) was ended by SIGKILL \(out of memory\?\)",
        ),
        (fail, TrainingError, r"process 2 of 2 \(pid \d+\) failed: MemoryError: no room"),
        (diverge, DivergedError, "^member 3 diverged$"),
    ],
)
def test_what_ends_another_process_ends_the_run_and_is_named(work, kind, told):
    with pytest.raises(kind, match=told), started(2, work) as world:
        wait_for_call(world)


def test_others_end_when_the_main_process_fails_or_is_killed(tmp_path):
    with pytest.raises(ValueError, match="mine"), started(2, lambda world: time.sleep(60)):
        raise ValueError("mine")
    program = (
        "import os, signal, time\n"
        "from made_exp.training.siblings import started\n"
        "with started(3, lambda world: time.sleep(60)) as world:\n"
        "    print(*world._pids.values(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    pids, give_up = [int(pid) for pid in done.stdout.split()], time.monotonic() + 20
    assert len(pids) == 2
    while any(psutil.pid_exists(pid) and is_running(pid) for pid in pids):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_member_that_diverges_is_named(tmp_path):
    settings = ensemble(tmp_path, 2, epochs=300, weight_averaging=0.0)
    settings.optimizer.lr = 1e30
    with pytest.raises(DivergedError, match=r"member \d of 5|networks\.\d\."):
        run(settings, tmp_path / "run")
    assert not (tmp_path / "run/results.json").exists()


@pytest.fixture
def copies(monkeypatch):
    """Copies of this process can train, whatever its earlier tests computed on a GPU."""
    monkeypatch.setattr(shares, "copies_can_differentiate", lambda: True)


@pytest.mark.parametrize(
    ("members", "trainer", "jobs", "expected"),
    [
        (24, {}, 1, (1, 8)),
        (5, {}, 1, (1, 5)),
        (24, {}, 2, (1, 4)),
        (24, {"num_threads": 3}, 1, (3, 2)),
        (24, {"processes": 3}, 1, (1, 3)),
        (24, {"processes": "1"}, 1, (1, 1)),
        (1, {}, 1, (None, 1)),
        (1, {}, 2, (4, 1)),
        (1, {"num_threads": 2}, 2, (2, 1)),
    ],
)
@pytest.mark.usefixtures("copies")
def test_threads_and_processes_share_the_machine(monkeypatch, members, trainer, jobs, expected):
    monkeypatch.setattr("made_exp.machine.num_cpus", lambda: 8)
    monkeypatch.setenv("MADE_JOBS_AT_ONCE", str(jobs))
    assert share_of_machine(settings_of(members, **trainer), CPU) == expected


def settings_of(members, **trainer):
    return Settings(
        model=MadeSettings(),
        ordering=EnsembleSettings(num_orderings=members),
        trainer=TrainerSettings(**trainer),
    )


@pytest.mark.usefixtures("copies")
def test_more_processes_than_there_is_use_for_are_a_warning(caplog):
    assert share_of_machine(settings_of(24, processes=4), CPU).processes == 4
    assert "4 processes of 1 thread(s) share 3 CPUs" in caplog.text
    assert share_of_machine(settings_of(2, processes=3), CPU).processes == 2
    assert "the model has 2 members" in caplog.text
    assert share_of_machine(settings_of(1, processes=3), CPU).processes == 1
    assert "the model has one member" in caplog.text
    with pytest.raises(ValueError, match=r"trainer\.processes=2 is for the CPU"):
        share_of_machine(settings_of(8, processes=2), torch.device("cuda", 0))
    assert share_of_machine(settings_of(8), torch.device("cuda", 0)).processes == 1


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_number_of_processes_is_whole_and_positive(value):
    with pytest.raises(ValueError, match="processes must be auto or a whole number"):
        TrainerSettings(processes=value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
def test_what_is_sent_arrives_and_can_be_written(dtype):
    large = torch.arange(300_000).view(3, -1).t().to(dtype)
    value = {"a": [large, torch.zeros(0), torch.tensor(2.0)], "b": (None, "text", 3)}
    with started(2, lambda world: world.gather(value)) as world:
        _, there = world.gather(None)
    assert torch.equal(there["a"][0], large)
    assert [one.shape for one in there["a"][1:]] == [(0,), ()]
    assert there["b"] == value["b"]
    there["a"][0].fill_(1)


def test_where_copies_cannot_differentiate_one_process_trains(monkeypatch, caplog):
    settings = settings_of(8, processes=2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def fails(self):
        raise RuntimeError("Unable to handle autograd's threading")

    monkeypatch.setattr(torch.Tensor, "backward", fails)
    assert share_of_machine(settings, CPU).processes == 1
    assert "one process trains all members, not 2" in caplog.text
