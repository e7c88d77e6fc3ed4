"""Every command and every Python block of the documents is run, in a short form.

Of trainings that differ in single settings alone, one is run; the others are checked as far as the
command checks what it is told before it starts.
"""

import argparse
import contextlib
import functools
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from test_architecture import MODULES, own_imports

from made_exp.cli.app import main as made_train
from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config
from made_exp.cli.help import train_help
from made_exp.cli.preflight import preflight
from made_exp.cli.resuming import continued
from made_exp.datasets import registry
from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.registry import DATASETS, DEBD_TABLES
from made_exp.errors import ConfigError
from made_exp.eval import main as made_eval
from made_exp.experiments import experiment
from made_exp.export import main as made_export
from made_exp.query import main as made_query
from made_exp.report import main as made_report
from made_exp.runs.folder import RunDirectory
from made_exp.sample import main as made_sample
from made_exp.settings.experiment import OPTIONS, option_fields
from made_exp.variables.variable import Kind, Variable, binary_variables

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REAL = Path(os.environ.get("MADE_TEST_DATA") or ROOT.parent / "shared" / "data")
PROGRAMS = (made_eval, made_sample, made_query, made_export, made_report)
SIZE = 5  # rows and columns of a density in two dimensions that stands in for a download
SHORT = (
    "trainer.max_steps=2", "trainer.num_samples=4", "trainer.tensorboard=false",
    "trainer.progress=off", "trainer.device=cpu", "trainer.samples_every=0",
)  # fmt: skip
TABLE = ("dataset=table", "dataset.path=people.csv", "ordering=agnostic")
ADULTS = ("dataset=table", "dataset.path=adults.csv", "ordering=agnostic")
IMAGES = ("dataset=npz", "dataset.path=images.npz")
# What the runs are that a document calls RUN, by what the command asks of them.
RUNS = {
    "people.csv": TABLE,
    "given={town": TABLE,
    "new.csv": TABLE,
    "new/part": TABLE,
    "asked.": TABLE,
    "queries.txt": TABLE,
    "report=true": TABLE,
    "income": ADULTS,
    "wage": ADULTS,
    "state": ADULTS,
    "species": ADULTS,
    "label=": (*IMAGES, "dataset.context=labels"),
    "num_orderings=": (*IMAGES, "ordering=agnostic", "ordering.num_orderings=32"),
    "": IMAGES,
}


def code_in_text(document):
    """What is `code` in the text of a document."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose))


def commands_of(document):
    """The commands of a document: lines of its shell blocks, and what is `code` in its text."""
    text = document.read_text()
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        lines = body.replace("\\\n", " ").splitlines()
        starts_as_command = re.compile(r"(made-|scripts/)")
        if language == "bash" or all(starts_as_command.match(line) for line in lines):
            yield from (re.sub(r"\s+#.*", "", line) for line in lines if line.strip())
    for command in code_in_text(document):
        if re.match(
            r"(made-\w+ |scripts/|pip |pytest |tensorboard |(\w+=\S+ )*torchrun )", command
        ):
            yield command


def settings_of(document):
    """Settings in the text of a document, with or without values: `trainer.epochs`."""
    for words in code_in_text(document):
        named = re.match(r"'?(\w+)([.=]\w+)", words)
        if named and named[1] in (*OPTIONS, "experiment"):
            yield words


def is_one_of(seen, command):
    """Whether a made-train differs from one before in single settings alone, not in options."""
    words = [word for word in shlex.split(command) if not re.match(r"\w+\.[\w.]+=", word)]
    kind = tuple(sorted(words))
    known = kind in seen
    seen.add(kind)
    return known and words[0] == "made-train" and "resume=" not in command


# test_adding runs the commands of the guide, once it has added what they name.
GUIDE = ROOT / "docs/adding.md"
COMMANDS = sorted({c for document in DOCUMENTS if document != GUIDE for c in commands_of(document)})
SETTINGS = sorted({words for document in DOCUMENTS for words in settings_of(document)})
EXAMPLES = [f"{main.program} {words}" for main in PROGRAMS for words in main.examples]
EXAMPLES += re.findall(r"^  (made-train .*)", train_help(), re.M)
EXAMPLES = [example for example in EXAMPLES if example not in COMMANDS]
SEEN: set[tuple[str, ...]] = set()
REPEATED = {text for text in [*COMMANDS, *EXAMPLES] if is_one_of(SEEN, text)}
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with files as the documents name them, and a data folder."""
    folder = tmp_path_factory.mktemp("documents")
    random = np.random.default_rng(0)
    bits = random.integers(0, 2, (60, 16), np.uint8)
    labels = {f"{split}_labels": np.arange(60) % 4 for split in ("train", "valid", "test")}
    splits = dict.fromkeys(("train", "valid", "test"), bits)
    np.savez(folder / "images.npz", **splits, **labels, image_shape=(4, 4))
    np.savez(folder / "table.npz", train=bits)
    rows = [f"{a},{'' if a % 9 == 0 else a % 3},{'xy'[a % 2]}" for a in range(20, 80)]
    (folder / "people.csv").write_text("\n".join(["age,children,town", *rows]))
    (folder / "new.csv").write_text("town,age,children\nx,44,1\ny,,0\nz,99,2\n")
    (folder / "new").mkdir()
    pl.DataFrame({"town": ["x"], "age": [44], "children": [1]}).write_parquet(
        folder / "new" / "part-1.parquet"
    )
    (folder / "queries.txt").write_text("age > 30\nmean(age) | town = x\n")
    (folder / "asked.csv").write_text("town,children,age\nx,,30\n,2,41\n")
    pl.read_csv(folder / "asked.csv").write_parquet(folder / "asked.parquet")
    adults = pl.DataFrame(
        {
            "age": range(20, 80),
            "wage": [99 * a % 70 for a in range(20, 80)],
            "sex": list("FFM") * 20,
            "state": ["CA", "NY", "TX", "TX"] * 15,
            "income": [">50K", "<=50K"] * 30,
            "species": ["Adelie"] * 30 + ["Gentoo"] * 30,
        }
    )
    adults.write_csv(folder / "adults.csv")
    Image.fromarray(bits.reshape(30, 32) * 255).save(folder / "cat.jpg")
    data = folder / "data"
    (data / "npz").mkdir(parents=True)
    for name in set(re.findall(r"npz/(\w+)\.npz", " ".join(COMMANDS))):
        np.savez(data / "npz" / f"{name}.npz", **splits, image_shape=(4, 4))
    return folder


def standing_in(*, name, **options):
    """A dataset; in place of one that is downloaded, a few random rows of the same form."""
    known = DATASETS[name]
    if "path" in options or not (known.num_dims or name == "debd"):
        return registry.load_dataset(name=name, **options)
    if known.num_dims == 1 or (name == "smiley" and not options["original"]):
        return registry.load_dataset(name=name, **options)
    random = torch.Generator().manual_seed(0)
    if known.num_dims == 2:
        variables = tuple(Variable(f"x{d}", Kind.ORDINAL, SIZE) for d in range(2))
        truth = torch.full((SIZE, SIZE), SIZE**-2.0).double()
        x = torch.randint(SIZE, (60, 2), generator=random, dtype=torch.uint8)
        return Dataset.of_splits(name, variables, dict.fromkeys(SPLITS, x), true_probs=truth)
    variables = binary_variables(known.num_dims or DEBD_TABLES[options["table"]])
    x = torch.randint(2, (60, len(variables)), generator=random, dtype=torch.uint8)
    return Dataset.of_splits(
        name, variables, dict.fromkeys(SPLITS, x), image_shape=known.image_shape
    )


@pytest.fixture
def shell(place, monkeypatch, capsys):
    """Runs a command of a document in `place`."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("MADE_DATA_DIR", str(place / "data"))
    for name in ("MADE_RUN_ID", "LOCAL_RANK", "HYDRA_FULL_ERROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(experiment, "load_dataset", standing_in)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return Shell(monkeypatch)


class Shell:
    """The commands that the documents may name, each with how it is run here."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch
        self.is_repeated = False

    def run(self, command):
        self.is_repeated = command in REPEATED
        words = shlex.split(as_here(command))
        while "=" in words[0]:
            self.monkeypatch.setenv(*words.pop(0).split("=", 1))
        program, arguments = words[0], words[1:]
        name = re.sub(r"\W", "_", program)
        assert hasattr(self, name), f"no test knows how to run {program}: say so in {__file__}"
        getattr(self, name)(self.with_runs(command, arguments))

    def with_runs(self, command, arguments):
        """`arguments` with real runs and sweeps in place of what stands for them."""
        if "RUN" in command or "run=..." in command:
            run = next(run_of(typed) for word, typed in RUNS.items() if word in command)
            other = run_of((*IMAGES, "ordering=agnostic"))
            arguments = [a.replace("outputs/runs/OTHER", other) for a in arguments]
            arguments = [re.sub(r"outputs/runs/RUN|(?<=^run=)\.\.\.", run, a) for a in arguments]
        if "run=outputs/people" in command:
            arguments = [a.replace("outputs/people", run_of(TABLE)) for a in arguments]
        if "outputs/sweeps/S" in command:
            sweep_of("outputs/sweeps/S")
        return ["seed=0,1" if word == "..." else word for word in arguments]

    def made_train(self, arguments):
        if arguments[:1] == ["--help"]:
            assert made_train(arguments) == 0
            return
        command = continued(parse_command_line(arguments))
        launcher = command.value_of("hydra/launcher")
        if launcher is not None:
            composed(arguments)  # run by test_config_launchers
            return
        resumed = IMAGES if "resume=true" in arguments else ()
        chosen = tuple(word for word in arguments if re.match("(experiment|model|ordering)=", word))
        short = [*resumed, *shortened(chosen), *search(arguments)]
        if self.is_repeated:
            composed([*arguments, *short])
            return
        assert made_train([*arguments, *short]) == 0

    def made_eval(self, arguments):
        assert made_eval(arguments) == 0

    def made_sample(self, arguments):
        assert made_sample(arguments) == 0

    def made_export(self, arguments):
        assert made_export(arguments) == 0

    def made_query(self, arguments):
        assert made_query(arguments) == 0

    def made_report(self, arguments):
        run = Path(run_of(IMAGES)).absolute()
        if not any(text.startswith("path=") for text in arguments):
            few = Path("few/outputs/runs")  # not on all that the other commands have made
            few.mkdir(parents=True, exist_ok=True)
            shutil.copytree(run, few / "run", dirs_exist_ok=True)
            self.monkeypatch.chdir("few")
        assert made_report(arguments) == 0

    def torchrun(self, arguments):
        assert arguments[-2:] == ["-m", "made_exp.train"]
        self.monkeypatch.setenv("LOCAL_RANK", "0")
        preflight(parse_command_line([]))  # run by test_distributed

    def tensorboard(self, arguments):
        flag, folder = arguments
        assert flag == "--logdir"
        sweep_of("outputs/sweeps/S")
        assert list(Path(folder).rglob("events.out.tfevents.*"))

    def uvicorn(self, arguments):
        assert arguments[0] == "service:app"  # run by test_service

    def pip(self, arguments):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        asked = re.search(r"\[(\w+)\]", arguments[-1])
        assert arguments[0] == "install"
        assert asked is None or asked[1] in extras["optional-dependencies"]

    def uv(self, arguments):
        assert arguments[:2] == ["tool", "install"]
        self.pip(arguments[1:])

    def pytest(self, arguments):
        named = [word for word in arguments if not word.startswith("-")]
        tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
        assert all(re.search(rf"def test_\w*{n}|pytest\.mark\.{n}\b", tests) for n in named)

    def scripts_quickstart(self, arguments):
        subprocess.run(["bash", "-n", ROOT / "scripts/quickstart"], check=True)

    def source(self, arguments):
        assert arguments == [".venv/bin/activate"]  # what scripts/environment makes
        assert ".venv" in (ROOT / "scripts/environment").read_text()

    def scripts_test(self, arguments):
        subprocess.run(["bash", "-n", ROOT / "scripts/test"], check=True)

    def scripts_lock(self, arguments):
        subprocess.run(["bash", "-n", ROOT / "scripts/lock"], check=True)

    def scripts_oldest_newest(self, arguments):
        subprocess.run(["bash", "-n", ROOT / "scripts/oldest_newest"], check=True)

    def scripts_docs(self, arguments):
        subprocess.run(["bash", "-n", ROOT / "scripts/docs"], check=True)

    def scripts_figures(self, arguments):
        assert arguments == []
        script = runpy.run_path(str(ROOT / "scripts/figures"), run_name="imported")
        script["main"](Path())
        drawn = {path.name for path in Path().glob("how-*.png")}
        assert drawn == {path.name for path in (ROOT / "docs/pictures").glob("how-*.png")}

    def scripts_overview(self, arguments):
        assert arguments == []
        script = runpy.run_path(str(ROOT / "scripts/overview"), run_name="imported")
        for overrides in script["RUNS"].values():
            words = overrides.replace("dataset.path=", "dataset.path=people.csv").split()
            composed(words)
        wrong = [(pl.col("town") == "x", "town", "y")]
        text = (ROOT / "docs/results.md").read_text()
        runs = Path(run_of(IMAGES)), Path(run_of(TABLE))
        script["draw"](*runs, ("age", "town"), wrong, text).savefig("overview.png")
        for table, nll in script["clock_rows"](text):
            assert 1 < float(nll.split()[0]) < 1000, table
            assert script["best_of"](table), table

    def scripts_check(self, arguments):
        subprocess.run(["bash", "-n", ROOT / "scripts/check"], check=True)

    def scripts_results(self, arguments):
        from result_rows import ROWS

        assert set(arguments) <= {row.name for row in ROWS}  # run by test_results

    def scripts_ablation(self, arguments):
        (table,) = arguments
        self.made_train(["experiment=density", *as_here(table).split()])

    def scripts_recipe_tables(self, arguments):
        assert arguments == []
        script = runpy.run_path(str(ROOT / "scripts/recipe_tables"), run_name="imported")
        tables = [script["sklearn_table"](script["load_wine"]().data)]
        if (REAL / "mnist").exists():
            tables.append(script["mnist_table"](REAL))
        for table in tables:
            assert set(np.unique(table["train"])) == {0, 1}

    def scripts_tables(self, arguments):
        script = runpy.run_path(str(ROOT / "scripts/tables"), run_name="imported")
        files = script["cut"](Path("people.csv"), seed=1, folder=Path("cut").absolute())
        assert sum(file.read_text().count("\n") - 1 for file in files.values()) == 60
        results = script["ours"](files, [*SHORT, "model.hidden_sizes=[8]"])
        assert script["row"](files, results, (1.5, 2.0)).endswith("| 1.500 | 2 |")

    def scripts_recipe(self, arguments):
        script = runpy.run_path(str(ROOT / "scripts/recipe"), run_name="imported")
        script["parse_arguments"](arguments)  # run by test_recipe_script

    def scripts_benchmark(self, arguments):
        parser = argparse.ArgumentParser(exit_on_error=False)
        importlib.import_module(f"benchmarks.{arguments[0]}").add_arguments(parser)
        parser.parse_args(arguments[1:])  # run by test_benchmark


def as_here(command):
    """A command with the files that are here in place of those it names, and few tables."""
    command = command.replace("$MADE_DATA_DIR", os.environ["MADE_DATA_DIR"])
    command = command.replace("TABLE.npz", "table.npz")
    command = command.replace("'seed=range(3)'", "seed=0").replace("seed=0,1,2", "seed=0,1")
    command = command.replace("dataset.table=glob(*)", "dataset.table=glob([nl*,pl*])")
    return re.sub(r"outputs/tables/\w+\.npz", "table.npz", command)


def composed(arguments):
    """Check the command as far as that can be done without running it."""
    command = parse_command_line(arguments)
    plugins = {
        "made_ray": "hydra_ray_launcher",
        "made_ray_train": "hydra_ray_launcher",
        "made_submitit_slurm": "hydra_submitit_launcher",
    }
    plugin = plugins.get(command.value_of("hydra/launcher"))
    if plugin and importlib.util.find_spec(f"hydra_plugins.{plugin}") is None:
        with pytest.raises(ConfigError, match="pip install 'made-exp"):
            preflight(command)
    else:
        preflight(command)


def search(arguments):
    """Overrides of a search that make it a short one."""
    is_search = any(text.startswith("search=") for text in arguments)
    return ["hydra.sweeper.n_trials=1", "hydra.sweeper.storage=null"] if is_search else []


@functools.cache
def shortened(chosen):
    """Overrides that keep the options that were chosen, but train hardly anything."""
    cfg = compose_config(parse_command_line([]), list(chosen))
    sizes = {"made": "model.hidden_sizes=[8]", "resmade": "model.hidden_size=8"}
    fewer = ["ordering.num_orderings=2"] if (cfg.ordering.get("num_orderings") or 0) > 2 else []
    return [*SHORT, *fewer, *([sizes[cfg.model.name]] if cfg.model.name in sizes else [])]


def run_of(typed):
    """The folder of a run with the overrides `typed`, made when it is first asked for."""
    folder = "outputs/runs/" + re.sub(r"\W+", "-", " ".join(typed))
    if not Path(folder, "results.json").exists():
        assert (
            made_train([*typed, *SHORT, "model.hidden_sizes=[8]", f"hydra.run.dir={folder}"]) == 0
        )
    return folder


def sweep_of(folder):
    """Make the sweep of the documents where it is not there yet."""
    if not Path(folder).exists():
        tiny = [*IMAGES, *SHORT, "model.hidden_sizes=[8]", "trainer.tensorboard=true"]
        assert made_train(["-m", "seed=0,1", *tiny, f"hydra.sweep.dir={folder}"]) == 0


@pytest.mark.filterwarnings("default")  # of Optuna, about itself
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(shell, command):
    shell.run(command)


@pytest.mark.filterwarnings("default")  # of Optuna, about itself
@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_of_the_help_run(shell, command):
    shell.run(command)


@pytest.mark.parametrize("block", BLOCKS)
def test_python_of_the_readme_runs(shell, block):
    run = run_of((*IMAGES, "ordering=agnostic"))
    x = torch.randint(2, (5, 16))
    observed = torch.rand(5, 16) < 0.5
    frame = pl.read_csv("people.csv")
    block = block.replace("outputs/runs/RUN", run).replace("max_minutes=2", "trainer=SHORT")
    short = {"max_steps": 5, "device": "cpu"}
    exec(block, {"x": x, "observed": observed, "frame": frame, "SHORT": short})


@pytest.mark.parametrize("words", SETTINGS)
def test_settings_that_are_named_exist(shell, words):
    """As overrides where they have values, and else as names, of one of a few experiments."""
    group, _, name = words.partition(".")
    if "=" not in words:
        assert any(name in option_fields(group, option) for option in OPTIONS[group])
        return
    contexts = (IMAGES, TABLE, ("ordering=agnostic",), ("ordering=ensemble",))
    likely = sorted(
        contexts, key=lambda context: not any(w.startswith(f"{group}=") for w in context)
    )
    for context in likely:
        with contextlib.suppress(ConfigError):
            given = [*context, *shlex.split(words)]
            assert preflight(parse_command_line(given)).overrides
            return
    pytest.fail(f"{words} is refused")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / link).exists(), link


def test_every_document_is_in_the_site():
    listed = re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(path.name for path in DOCUMENTS[1:])


def test_files_that_are_named_are_there(shell, place):
    """In the checkout, or in the folder of a run."""
    run = place / run_of((*IMAGES, "trainer.tensorboard=true"))
    there = [*run.rglob("*"), *filter(None, vars(RunDirectory(run)).values())]
    for name in ("made_exp", "conf", "docs", "scripts", "tests"):
        there += [path for path in (ROOT / name).rglob("*") if path.suffix != ".pyc"]
    known = {f"/{path}{'/' * path.is_dir()}" for path in [*there, ROOT / ".ci/run"]}
    for document in DOCUMENTS:
        for name in code_in_text(document):
            is_file = re.fullmatch(r"[\w.]*[/\w]+(/|\.(py|json|jsonl|pt|ya?ml))", name)
            is_new = re.search(f"(New|Your) file `{re.escape(name)}`", document.read_text())
            is_new = is_new or re.search("[A-Z]{3}", name)
            if is_file and not is_new:
                assert any(path.endswith(f"/{name}") for path in known), f"{document}: {name}"


def test_the_map_names_every_room_after_those_that_it_imports():
    text = (ROOT / "README.md").read_text().split("## The map")[1].split("```")[1]
    drawn = re.findall(r"^  (\S.*?)  +", text, re.M)
    package = {path.name.removesuffix(".py") for path in (ROOT / "made_exp").glob("[a-z]*")}
    package.discard("py.typed")
    rooms = [name.rstrip("/") for line in drawn for name in line.split(", ")]
    assert sorted(rooms) == sorted(package)
    for parts, path in MODULES.items():
        for imported in own_imports(path) if parts else ():
            assert rooms.index(imported[0]) <= rooms.index(parts[0]), f"{path}: {imported}"


def test_unknown_commands_are_not_passed_over(shell):
    with pytest.raises(AssertionError, match="no test knows how to run made-tea"):
        shell.run("made-tea milk=true")
