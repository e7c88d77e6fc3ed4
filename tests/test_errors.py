"""Every mistake gets one line `error: ...`, exit code 2, and leaves nothing behind."""

import os
import signal
import sys
import time
import weakref

import pytest

from made_exp.cli import command_line
from made_exp.cli.app import main
from made_exp.cli.messages import answer, answered

ORDERINGS = (
    "agnostic, centre_out, column_major, custom, ensemble, natural, random, reversed, snake, spiral"
)
ACTIVATIONS = "relu, elu, tanh, sigmoid, softplus, leaky_relu, silu"
TABLE = [
    (
        ["ordering=rnadom"],
        f"no option 'rnadom' in group 'ordering' (have: {ORDERINGS}). Did you mean 'random'?",
    ),
    (["optimzer.lr=1"], "unknown key 'optimzer'. Did you mean 'optimizer'?"),
    (["optimzer=adam"], "unknown key 'optimzer'. Did you mean 'optimizer'?"),
    (["epoch=5"], "unknown key 'epoch'. Did you mean 'trainer.epochs'?"),
    (["steps=5"], "unknown key 'steps'. Did you mean 'trainer.max_steps'?"),
    (
        ["my/people.csv"],
        "cannot parse 'my/people.csv': write dataset=table dataset.path=my/people.csv",
    ),
    (
        ["dataset=/my/a.csv.gz"],
        "no option '/my/a.csv.gz' in group 'dataset'; write dataset=table "
        "dataset.path=/my/a.csv.gz",
    ),
    (
        ["dataset=images.npz"],
        "no option 'images.npz' in group 'dataset'; write dataset=npz dataset.path=images.npz",
    ),
    (["people"], "cannot parse 'people': write key=value"),
    (
        ["optimizer.momentum=0.9"],
        "'momentum' is not a setting of optimizer=adam (lr, weight_decay, betas)."
        " It exists in: sgd",
    ),
    (
        ["model.hiden_sizes=[3]", "model=made"],
        "'hiden_sizes' is not a setting of model=made (",
    ),
    (
        ["+optimizer.lrr=1"],
        "not a setting (added with '+'): optimizer.lrr. Did you mean 'lr'?",
    ),
    (["++optimizer.lrr=1"], "not a setting (added with '+'): optimizer.lrr. Did you mean 'lr'?"),
    (["+foo=1"], "not a setting (added with '+'): foo"),
    (
        ["dataset.kinds={age: real}"],
        "'kinds' is not a setting of dataset=shapes (context). It exists in: table, csv",
    ),
    (["model.hidden_sizes={}"], "model.hidden_sizes is a list; write model.hidden_sizes=[VALUE]"),
    (["hydra.run.dir="], "hydra.run.dir: a folder is wanted, got nothing"),
    (["hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN: a sweep is asked for with -m"),
    (["epochs=5"], "unknown key 'epochs'. Did you mean 'trainer.epochs'?"),
    (["optimizer.lr=abc"], "optimizer.lr: 'abc' is not a float"),
    (["trainer.epochs=1.5"], "trainer.epochs: '1.5' is not an integer"),
    (["trainer.tensorboard=maybe"], "trainer.tensorboard: 'maybe' is not true or false"),
    (["seed=null"], "seed must not be null"),
    (
        ["model.activation=gelu"],
        f"model.activation: 'gelu' is not one of {ACTIVATIONS}. Did you mean 'elu'?",
    ),
    (
        ["model.hidden_sizes=500"],
        "model.hidden_sizes: 500 is not a list; write model.hidden_sizes=[500]",
    ),
    (["model.hidden_sizes=[500,0]"], "model.hidden_sizes must hold numbers >= 1, got [500, 0]"),
    (["optimizer.lr=-1"], "optimizer.lr must be > 0, got -1.0"),
    (["optimizer.lr=nan"], "optimizer.lr must be > 0, got nan"),
    (["optimizer.lr=inf"], "optimizer.lr must be > 0, got inf"),
    (["optimizer.betas=[0.9]"], "optimizer.betas must be two numbers at least 0 and below 1"),
    (["model.dropout=1"], "model.dropout must be at least 0 and below 1, got 1.0"),
    (["seed=-1"], "seed must be >= 0, got -1"),
    (["trainer.batch_size=0"], "trainer.batch_size must be >= 1, got 0"),
    (["trainer.device=gpu"], "trainer.device must be auto, cpu, cuda, cuda:0, cuda:1, ..."),
    (["dataset=npz"], "missing value(s): dataset.path"),
    (["~seed"], "missing value(s): seed"),
    (
        ["dataset=npz", "dataset.path=/nope.npz"],
        "dataset file not found: /nope.npz (dataset.path); set MADE_DATA_DIR or give an"
        " absolute path",
    ),
    (
        ["dataset=npz", "dataset.path=t.csv"],
        "dataset.path must be a .npz file, a .npy file or a folder of these, got 't.csv'",
    ),
    (["dataset=npz", "dataset.path=."], "dataset.path: folder "),
    (["dataset=csv", "dataset.path=/"], "dataset.path: '/' is a folder without tables in it"),
    (["tag=a=b"], "cannot parse 'tag=a=b': quote the value: 'tag=\"a=b\"'"),
    (["notes.tag=a=b"], "cannot parse 'notes.tag=a=b': quote the value: 'notes.tag=\"a=b\"'"),
    (["seed"], "cannot parse 'seed': write key=value"),
    (["model.hidden_sizes=[1"], "cannot parse 'model.hidden_sizes=[1': brackets or commas"),
    (["+experiment=made_mnist"], "'+experiment=made_mnist': write experiment=made_mnist"),
    (["experiment=mdae_mnist"], "no option 'mdae_mnist' in group 'experiment' (have: "),
    (["experiment=made_shape"], "no option 'made_shape' in group 'experiment' (have: adult, "),
    (["dataset=0"], "Config group override must be a string or a list. Got int"),
    (
        ["dataset.kinds=real", "dataset=csv"],
        "dataset.kinds is a dictionary; write 'dataset.kinds={NAME: VALUE}'\n",
    ),
    (
        ["dataset.kinds='{age: real}'", "dataset=csv"],
        "dataset.kinds is a dictionary; write 'dataset.kinds={NAME: VALUE}'\n",
    ),
    (
        ["optimizer.lr=1e-3,3e-4"],
        "optimizer.lr=1e-3,3e-4: several values need -m\n",
    ),
    (["seed=0,1", "--cfg", "job"], "seed=0,1: several values need -m\n"),
    (
        ["dataset=csv", "dataset.drop=a,b"],
        "dataset.drop=a,b: several values need -m; one list: 'dataset.drop=[a,b]'\n",
    ),
    (["seed=range(3)"], "seed=range(3): several values need -m\n"),
    (["notes={1: x}"], "notes.1: a name is wanted; write"),
    (["dataset.kinds={a (b): real}", "dataset=csv"], "cannot parse 'dataset.kinds={a (b): real}'"),
    (
        ['notes={"é": real}'],
        "cannot parse 'notes={é: real}': a name with 'é' can be given in a file only",
    ),
    (["--multirn"], "unknown flag '--multirn'. Did you mean '--multirun'?"),
    (
        ["--resume", "outputs/x"],
        "unknown flag '--resume'; settings have no dashes: write resume=outputs/x\n",
    ),
    (["--describe"], "unknown flag '--describe'; settings have no dashes: write describe=true\n"),
    (["--epochs=5", "-m"], "unknown flag '--epochs=5'; settings have no dashes: write trainer.ep"),
    (["--batch-size", "seed=1"], "unknown flag '--batch-size'; settings have no dashes: write tra"),
    (["--optimizer.lr", "1"], "unknown flag '--optimizer.lr'; settings have no dashes: write opti"),
    (["--dataset", "mnist"], "unknown flag '--dataset'; settings have no dashes: write dataset=m"),
    (["hydra.job.foo=1"], "unknown key 'hydra.job.foo'"),
    (["dataset.name=mnist"], "dataset.name: choose with dataset=mnist, not with dataset.name"),
    (["model.name=mad"], "model.name: 'mad' is not one of made, resmade"),
    (["resume=true"], "resume=true needs hydra.run.dir=DIR"),
    (["ordering=custom"], "missing value(s): ordering.order"),
    (
        ["ordering=custom", "ordering.order=[0,2,2]"],
        "ordering.order must hold each of 0..2 once, got 2 twice",
    ),
    (
        ["ordering=custom", "ordering.order=[1,0]"],
        "ordering.order must hold each of 0..399 once for dataset=shapes, got 2 numbers",
    ),
    (["ordering=custom", "ordering.order=nope.txt"], "file not found: nope.txt (ordering.order)"),
    (["ordering=spiral", "dataset=dna"], "ordering=spiral needs images, but dataset=dna has none"),
    (["ordering=agnostic", "ordering.sweeps=1", "dataset=dna"], "ordering.sweeps needs images"),
    (["ordering=ensemble", "ordering.rasters=1", "dataset=dna"], "ordering.rasters needs images"),
    (
        ["model.conditional=bernoulli", "dataset=smiley"],
        "model.conditional=bernoulli does not fit dataset=smiley, whose variables are ordinal;"
        " take one of auto, categorical, logistic_mixture",
    ),
    (["model.conditional=gaussian_mixture"], "model.conditional=gaussian_mixture does not fit"),
    (["model.encoding=smooth"], "model.encoding=smooth does not fit dataset=shapes"),
    (["model=histogram"], "model=histogram is for one variable, but dataset=shapes has 400"),
    (
        ["trainer.kernel=triton", "trainer.device=cpu"],
        "trainer.kernel=triton needs a CUDA device, got trainer.device=cpu",
    ),
    (["--config-dir=nowhere"], "--config-dir: 'nowhere' is not a folder"),
    (["-m", "optimizer.lr=-1,2"], "optimizer.lr must be > 0, got -1.0 (in the job optimizer.lr"),
    (["-m", "model.activation=relu,gelu"], "model.activation: 'gelu' is not one of relu"),
    (["-m", "seed=0,1", "resume=true"], "resume=true needs hydra.sweep.dir=DIR"),
    (["-m", "optimizer=adam,sdg"], "no option 'sdg' in group 'optimizer'"),
    (["-m", "seed=range(0)"], "the sweep has no jobs: one of its lists or ranges is empty"),
    (["-m", "seed="], "seed: '' is not an integer"),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), TABLE, ids=lambda value: str(value)[:40])
def test_mistake_is_answered_in_one_line(arguments, message, capsys, empty_folder):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert list(empty_folder.iterdir()) == []


def test_full_error_shows_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert main(["optimizer.lr=-1"]) == 2
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "error: optimizer.lr must be > 0" in text
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_presets_of_ours_are_listed_by_their_full_names(capsys):
    main(["experiment=made_shape"])
    listed = capsys.readouterr().err
    assert "made_mnist, made_paper_dna, made_shapes" in listed
    assert listed.endswith("Did you mean 'made_shapes'?\n")


def test_users_environment_is_left_as_it_was(capsys):
    main(["optimizer.lr=-1"])
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_cuda_without_a_device(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main(["trainer.device=cuda"]) == 2
    expected = "error: trainer.device=cuda but no CUDA device is visible\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["hydra/launcher=joblib"], "joblib"),
        (["hydra/launcher=submitit_slurm"], "slurm"),
        (["hydra/launcher=ray"], "ray"),
        (["hydra/sweeper=optuna"], "optuna"),
    ],
)
def test_missing_extra_is_answered_with_the_pip_line(arguments, extra, capsys, monkeypatch):
    def find_spec(name):
        raise ModuleNotFoundError("No module named 'hydra_plugins'")

    for found in (find_spec, lambda name: None):  # no plugin at all; others only
        monkeypatch.setattr(command_line.importlib.util, "find_spec", found)
        assert_pip_line_is_told(arguments, extra, capsys)


def assert_pip_line_is_told(arguments, extra, capsys):
    assert main(["-m", "seed=0,1", *arguments]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"error: {arguments[0]} is not installed (have: basic); ")
    assert f"pip install 'made-exp[{extra}]'" in text


def test_launcher_without_multirun_is_warned_of(capsys):
    main(["hydra/launcher=joblib", "optimizer.lr=-1"])
    assert "warning: hydra/launcher=joblib is used only with -m" in capsys.readouterr().err


def test_overlay_with_the_name_of_a_built_in_option_is_warned_of(capsys, empty_folder):
    (empty_folder / "mine/optimizer").mkdir(parents=True)
    (empty_folder / "mine/optimizer/adam.yaml").write_text("lr: 5\n")
    main(["--config-dir=mine", "optimizer.lr=-1"])
    assert "adam.yaml is not used: optimizer/adam is built in" in capsys.readouterr().err


def test_typo_in_an_overlay_names_the_file(capsys, empty_folder):
    (empty_folder / "mine/optimizer").mkdir(parents=True)
    text = "defaults: [/schema/optimizer@_here_: adam, _self_]\nname: adam\nlrr: 5\n"
    (empty_folder / "mine/optimizer/fast.yaml").write_text(text)
    assert main(["--config-dir=mine", "optimizer=fast"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: in optimizer/fast: 'lrr' is not a setting of optimizer=adam")


def test_torchrun_needs_a_shared_id(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main([]) == 2
    assert "MADE_RUN_ID=$(date" in capsys.readouterr().err


def test_folder_that_cannot_be_written(capsys, empty_folder):
    (empty_folder / "outputs").write_text("a file where the folder should be")
    assert main(["trainer=debug"]) == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert "outputs" in text
    assert "Traceback" not in text


def test_sweep_file_without_multirun_is_warned_of(capsys):
    main(["experiment=grid", "resume=true"])
    assert "warning: hydra.sweeper.params" in capsys.readouterr().err


def test_locked_database_is_one_line(capsys):
    sqlite3 = pytest.importorskip("sqlite3")
    assert answer(sqlite3.OperationalError("database is locked")) == 1
    text = capsys.readouterr().err
    assert text.endswith("(hydra.sweeper.storage): database is locked\n")
    assert "Traceback" not in text


def test_an_interrupt_in_the_callback_of_a_weak_reference_is_not_lost(capfd, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

    def command():
        thing = set()
        callback = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing  # Python says what the callback raised, and goes on
        assert callback() is None
        time.sleep(20)
        return 0

    assert answered(command) == 130
    assert capfd.readouterr().err == "interrupted\n"
