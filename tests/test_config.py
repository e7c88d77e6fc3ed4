"""Options, experiments, names of folders, and what the settings promise."""

import dataclasses
import re
import resource
import shlex
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf, ValidationError

from made_exp.cli.app import main
from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config, fixed_overrides, sweep_overrides
from made_exp.cli.help import options_in, train_help
from made_exp.cli.names import as_hydra_has_it, as_typed
from made_exp.cli.resolvers import conf_dir, conf_hash, members_within, run_id, slug
from made_exp.cli.validate import settings_from
from made_exp.datasets.table.raw import leaving_out
from made_exp.datasets.table.reading import setting
from made_exp.errors import ConfigError
from made_exp.model.member_schedules import member_layers
from made_exp.settings.experiment import OPTIONS, from_dict, option_fields
from made_exp.settings.fingerprint import changed_keys, fingerprint, rounding_keys

CHOICES = [(group, option) for group, options in OPTIONS.items() for option in options]
EXPERIMENTS = options_in(conf_dir(), "experiment")
SEARCHES = options_in(conf_dir(), "search")
PROMISED = {
    "model": "made resmade histogram logistic_mixture",
    "dataset": "gaussian_1d bimodal_1d smiley hinton image_2d shapes mnist fashion_mnist"
    " binarized_mnist adult connect4 dna mushrooms nips ocr_letters rcv1 web debd npz csv",
    "optimizer": "adam adamw sgd adagrad adadelta",
    "scheduler": "constant cosine plateau",
    "ordering": "natural reversed random custom agnostic",
    "trainer": "default debug",
    "experiment": "histogram logistic_mixture made2d_smiley made2d_hinton made_shapes made_mnist"
    " binarized_mnist dna mushrooms density",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "table.npz", train=np.zeros((4, 3), np.uint8))
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "picture.png").write_bytes(b"")
    return tmp_path


def composed(*overrides):
    command = parse_command_line(list(overrides))
    return compose_config(command, command.overrides)


def settings_of(*overrides):
    return settings_from(composed(*overrides))


def needs(group, option):
    """Overrides without which an option is not complete."""
    return {
        ("dataset", "npz"): ["dataset.path=table.npz"],
        ("dataset", "table"): ["dataset.path=table.csv"],
        ("dataset", "csv"): ["dataset.path=table.csv"],
        ("dataset", "debd"): ["dataset.table=nltcs"],
        ("dataset", "python"): ["dataset.loader=mine:load"],
        ("dataset", "image_2d"): ["dataset.path=picture.png"],
        ("ordering", "custom"): ["ordering.order=[2,0,1]", "dataset=npz", "dataset.path=table.npz"],
        ("model", "histogram"): ["dataset=gaussian_1d"],
        ("model", "logistic_mixture"): ["dataset=gaussian_1d"],
    }.get((group, option), [])


@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes_with_the_defaults_of_its_schema(group, option):
    settings = settings_of(f"{group}={option}", *needs(group, option))
    chosen = getattr(settings, group)
    assert type(chosen) is OPTIONS[group][option]
    assert chosen.name == option
    if option == "debug":
        return
    for field in dataclasses.fields(chosen):
        if field.name in ("name", "path", "order", "table", "loader"):
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        assert getattr(chosen, field.name) == default, f"{field.name} in conf/ and in the schema"


def test_every_option_has_a_schema_in_the_store_of_hydra():
    store = ConfigStore.instance()
    for group, option in CHOICES:
        assert f"{option}.yaml" in store.list(f"schema/{group}")
    with pytest.raises(ValidationError):
        store.load("schema/optimizer/adam.yaml").node.lr = "high"


@pytest.mark.parametrize(("group", "options"), PROMISED.items())
def test_groups_have_at_least_the_promised_options(group, options):
    found = options_in(conf_dir(), group)
    assert set(options.split()) <= set(found)
    if group in OPTIONS:
        assert found == sorted(OPTIONS[group])


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes(experiment):
    files = {"density": ["dataset.path=table.npz"], "table": ["dataset.path=table.csv"]}
    files |= {name: ["teacher=null"] for name in ("distil", "distil_natural")}
    settings = settings_of(f"experiment={experiment}", *files.get(experiment, []))
    assert from_dict(dataclasses.asdict(settings)) == settings


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_states_its_command(experiment):
    text = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text()
    command = re.search(rf"^#.* made-train .*experiment={experiment}\b", text, re.MULTILINE)
    assert command, "the header of an experiment says how to run it"


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_space_varies_settings_that_exist(search):
    command = parse_command_line(["-m", f"search={search}"])
    base = compose_config(command, fixed_overrides(command))
    assert len(base.hydra.sweeper.params) >= 3
    assert base.hydra.sweeper.max_failure_rate == 1.0
    jobs = sweep_overrides(command, base)
    assert len(jobs) == 1
    settings_from(compose_config(command, jobs[0]))


def test_sweep_file_expands_to_all_its_jobs():
    command = parse_command_line(["-m", "experiment=grid", "seed=5"])
    jobs = sweep_overrides(command, compose_config(command, fixed_overrides(command)))
    assert len(jobs) == 4  # the command line wins over the file
    assert all("seed=5" in job for job in jobs)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["optimizer=glob(ada*)", "seed=range(2)"], 8),
        (["model.hidden_sizes=[500],[500,500]"], 2),
        (["optimizer=adam,sgd", "optimizer.lr=choice(1e-2,1e-3)", "seed=0,1,2"], 12),
        (["dataset=debd", "dataset.table=glob(*)"], 20),
        (["dataset=debd", "dataset.table=glob([n*,pl*])", "model.activation=glob(*elu)"], 6),
        (["seed=4"], 1),
    ],
)
def test_sweeps_expand_as_hydra_does(arguments, count):
    command = parse_command_line(["-m", *arguments])
    base = compose_config(command, fixed_overrides(command))
    jobs = sweep_overrides(command, base)
    assert len(jobs) == count
    assert len({tuple(job) for job in jobs}) == count
    for job in jobs[:2]:
        settings_from(compose_config(command, job))


def test_default_is_made_on_shapes():
    settings = settings_of()
    assert (settings.model.name, settings.dataset.name, settings.seed) == ("made", "shapes", 0)


def test_free_notes_need_no_plus():
    settings = settings_of("notes.why=baseline", "notes.x.y=1")
    assert settings.notes == {"why": "baseline", "x": {"y": 1}}


def test_kinds_of_columns_need_no_plus():
    settings = settings_of("dataset=csv", "dataset.path=table.csv", "dataset.kinds.a=integer")
    assert settings.dataset.kinds == {"a": "integer"}


def test_kinds_of_columns_with_any_name_are_given_in_braces():
    table = ["dataset=csv", "dataset.path=table.csv"]
    kinds = settings_of(*table, 'dataset.kinds={"net worth (k$)": real, a.b: integer}')
    assert kinds.dataset.kinds == {"net worth (k$)": "real", "a.b": "integer"}
    odd = "a, b: {c} [d] = \\e"
    kinds = settings_of(*table, f"dataset.kinds={{'{odd}': real}}", "dataset.kinds.age=binary")
    assert kinds.dataset.kinds == {odd: "real", "age": "binary"}
    assert settings_of("notes={why: x, 'who is it': y}").notes == {"why": "x", "who is it": "y"}


@pytest.mark.parametrize(
    "name", ["Größe", "Größe in cm", "naïve #1", "π", 'the "best"', "it's; 5 %"]
)
def test_names_in_any_letters_are_given_in_a_shell(name):
    table = ["dataset=csv", "dataset.path=table.csv"]
    quoted = f"'{name}'" if '"' in name else f'"{name}"'
    kinds = settings_of(*table, f"dataset.kinds={{{quoted}: real, age: binary}}").dataset.kinds
    assert kinds == {name: "real", "age": "binary"}
    assert settings_of(*table, f"dataset.drop=[age, {quoted}]").dataset.drop == ["age", name]
    if not {"'", '"'} & set(name):
        assert settings_of(*table, f"dataset.drop=[{name}, age]").dataset.drop == [name, "age"]
    if name.isalpha():
        assert settings_of(*table, f"dataset.kinds={{{name}: real}}").dataset.kinds == {
            name: "real"
        }


@pytest.mark.parametrize(
    "name",
    ["2019", "1e3", "-.5", "1_000", "true", "No", "null", "inf", 'say "hi"', "it's", "a.b", "x\\",
     "C:\\new", "@@2019", "Größe"],
)  # fmt: skip
def test_what_is_said_of_a_column_can_be_pasted_in_a_shell(name):
    table = ["dataset=csv", "dataset.path=table.csv"]
    typed = shlex.split(f"{setting('kinds', name, 'integer')} {leaving_out(name)}")
    dataset = settings_of(*table, *typed).dataset
    assert (dataset.kinds, dataset.drop) == ({name: "integer"}, [name])
    with pytest.raises(ConfigError, match=re.escape(f"dataset.kinds.{name}: 'int' is not one of")):
        settings_of(*table, *shlex.split(setting("kinds", name, "int")))


@pytest.mark.parametrize("name", ["a.b", "1e3", "2019", "net worth", "Größe"])
def test_the_kind_of_a_column_is_given_in_a_path_whatever_its_name(name):
    table = ["dataset=csv", "dataset.path=table.csv", "dataset.kinds={x: binary}"]
    dataset = settings_of(*table, f"dataset.kinds.{name}=real").dataset
    assert dataset.kinds == {"x": "binary", name: "real"}


def test_names_that_hydra_can_hold_stay_as_they_are():
    assert as_hydra_has_it("dataset.kinds={a.b: real}") == "++dataset.kinds={a.b: real}"
    assert as_hydra_has_it("seed=3") == "seed=3"
    assert as_typed({"50%25": 1, "@@a%20b": 2}) == {"50%25": 1, "a b": 2}


def test_bare_words_in_lists_of_texts_are_texts():
    given = 'dataset.missing_values=[null, -9999, N/A, ".", "a, b]", true]'
    settings = settings_of("dataset=csv", "dataset.path=table.csv", given)
    assert settings.dataset.missing_values == ["null", "-9999", "N/A", ".", "a, b]", "true"]
    default = settings_of("dataset=csv", "dataset.path=table.csv", "dataset.missing_values=null")
    assert default.dataset.missing_values is None


def test_kinds_of_columns_can_be_swept_over():
    given = "dataset.kinds={'net worth': real},{age: integer}"
    command = parse_command_line(["-m", "dataset=csv", "dataset.path=table.csv", given])
    jobs = sweep_overrides(command, compose_config(command, fixed_overrides(command)))
    found = [settings_from(compose_config(command, job)).dataset.kinds for job in jobs]
    assert found == [{"net worth": "real"}, {"age": "integer"}]


def test_paths_are_found_beside_the_data_and_made_absolute(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    monkeypatch.setenv("MADE_DATA_DIR", str(folder))
    settings = settings_of("dataset=npz", "dataset.path=table.npz")
    assert settings.dataset.path == str(folder / "table.npz")


def test_order_is_read_from_a_file(folder):
    (folder / "order.txt").write_text("2 0\n1\n")
    arguments = ["dataset=npz", "dataset.path=table.npz", "ordering=custom"]
    settings = settings_of(*arguments, "ordering.order=order.txt")
    assert settings.ordering.order == [2, 0, 1]


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("+=adam", "cannot be composed: +=adam"),
        ("model=[10,20]", "cannot be composed: model=[10,20]"),
        (f"optimizer.lr={'9' * 400}", "optimizer.lr: the number has no place in 64 bits"),
    ],
)
def test_what_hydra_has_no_words_for_is_one_line(argument, told, capsys):
    assert main([argument]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


def test_images_of_letters_can_be_scanned():
    assert settings_of("dataset=ocr_letters", "ordering=spiral").ordering.name == "spiral"


def test_saved_settings_hold_plain_values_only():
    def check(value):
        assert type(value) in (dict, list, str, int, float, bool, type(None)), type(value)
        children = value.values() if isinstance(value, dict) else value
        for child in children if isinstance(value, dict | list) else []:
            check(child)

    check(dataclasses.asdict(settings_of()))


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("trainer.device=cpu", True),
        ("trainer.progress=plain", True),
        ("notes.a=b", True),
        ("seed=1", False),
        ("optimizer.lr=0.5", False),
        ("trainer.epochs=7", False),
        ("ordering=random", False),
    ],
)
def test_fingerprint_ignores_only_what_does_not_decide_the_outcome(override, same):
    assert (fingerprint(settings_of()) == fingerprint(settings_of(override))) is same


def test_changed_keys_names_what_forbids_to_continue():
    saved = dataclasses.asdict(settings_of())
    changed = settings_of("optimizer.lr=0.5", "trainer.epochs=7", "trainer.device=cpu")
    assert changed_keys(saved, changed) == ["optimizer.lr: 0.001 -> 0.5"]
    assert changed_keys(saved, settings_of()) == []


def test_another_kernel_may_continue_a_run_but_is_told():
    saved = dataclasses.asdict(settings_of())
    changed = settings_of("trainer.kernel=dense", "trainer.eval_batch_size=7")
    assert changed_keys(saved, changed) == []
    told = ["trainer.eval_batch_size: 1000 -> 7", "trainer.kernel: auto -> dense"]
    assert rounding_keys(saved, changed) == told
    assert fingerprint(changed) != fingerprint(settings_of()), (
        "a sweep over kernels has all its jobs"
    )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "default"),
        (["optimizer.lr=0.1", "seed=1"], "lr-0.1_seed-1"),
        (["dataset=mnist", "resume=true", "hydra.sweep.dir=x", "notes.a=b"], "dataset-mnist"),
        (["+experiment=x"], "experiment-x"),
    ],
)
def test_slug_is_readable(overrides, expected):
    assert slug(overrides) == expected


@pytest.mark.parametrize(
    "value",
    [
        "/a/b/c.npz",
        "[500,500]",
        "a b",
        "=",
        ",",
        "ü",
        "..",
        "/",
        "x" * 300,
        '"',
        "-",
        "\n",
        "{a:1}",
    ],
)
def test_slug_of_odd_values_is_a_safe_name(value):
    name = slug([f"dataset.path={value}"])
    assert re.fullmatch(r"[A-Za-z0-9._+-]{1,60}", name)
    assert not name.startswith((".", "-"))


def test_slugs_of_different_long_overrides_differ():
    long = [f"seed={number}" for number in range(30)]
    assert slug([*long, "optimizer.lr=1"]) != slug([*long, "optimizer.lr=2"])
    assert slug([*long, "resume=true"]) == slug(long)


def test_run_ids_sort_by_time_and_never_repeat():
    names = [run_id() for _ in range(30)]
    assert len(set(names)) == 30  # of 16 million
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", name) for name in names)


def test_run_id_can_be_shared(monkeypatch):
    monkeypatch.setenv("MADE_RUN_ID", "shared")
    assert run_id() == "shared"


def test_processes_started_together_choose_folders_of_their_own():
    code = "import sys; from made_exp.cli.app import main; sys.exit(main())"
    command = [sys.executable, "-c", code]
    command += ["seed=3", "--cfg=hydra", "--package=hydra.run", "--resolve"]

    def folder_of(_):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(folder_of, range(4)))
    assert len(set(folders)) == 4
    assert all(re.search(r"dir: outputs/runs/\d{8}-\d{6}-\w{6}_seed-3\n", text) for text in folders)


def test_conf_hash_follows_every_file(folder, monkeypatch):
    (folder / "conf").mkdir()
    (folder / "conf/config.yaml").write_text("a: 1\n")
    monkeypatch.setattr("made_exp.cli.resolvers.conf_dir", lambda: folder / "conf")
    before = conf_hash()
    (folder / "conf/other.yaml").write_text("")
    assert conf_hash() != before


def test_checkout_uses_its_own_conf():
    assert conf_dir() == Path(__file__).parents[1] / "conf"


def test_help_names_every_option_and_setting():
    text = train_help(asked=["all"])
    for group, options in OPTIONS.items():
        for option in options:
            assert re.search(rf"^ [ *] {option}\b", text, re.MULTILINE), f"{group}={option}"
    for field in option_fields("trainer", "default"):
        assert field in text
    assert "schema" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_help_is_one_screen_that_leads_on(capsys):
    text = train_help()
    assert text.count("\n") < 40
    assert max(len(line) for line in text.splitlines()) <= 100
    for group, options in OPTIONS.items():
        assert all(re.search(rf"\b{option}\b", text) for option in options), group
        assert train_help(asked=[group]).startswith(f"{group}\n")
    assert "table|csv" in text.split()
    assert train_help(asked=["dataset"]).count("missing_values=") == 1
    assert main(["--help", "trainer.epochs=5"]) == 0
    assert "max_minutes" in capsys.readouterr().out
    assert main(["--help", "modle"]) == 2
    assert "Did you mean 'model'?" in capsys.readouterr().err


def seconds_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["optimizer.lr=-1"]])
def test_answers_come_before_torch(arguments):
    code = (
        "import sys; from made_exp.cli.app import main; code = main();"
        " heavy = {'torch', 'numpy', 'matplotlib', 'tensorboard', 'optuna'} & set(sys.modules);"
        " assert not heavy, heavy; sys.exit(code)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    before = seconds_of_children()
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert seconds_of_children() - before < 2  # 0.25 and 0.4 on an idle machine
    assert answer.returncode == (0 if arguments == ["--help"] else 2), answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cfg", "job"],
        ["--cfg=job", "--resolve", "dataset=mnist"],
        ["--cfg=hydra", "-p", "hydra.launcher"],
        ["--info=defaults"],
        ["--info", "searchpath"],
        ["dataset=mnist", "-c", "job", "seed=3"],
    ],
)
def test_showing_flags_work_anywhere(arguments, capsys, folder):
    before = set(folder.iterdir())
    assert main(arguments) == 0
    assert capsys.readouterr().out
    assert set(folder.iterdir()) == before


def test_shown_config_reads_back(capsys):
    assert main(["--cfg=job", "seed=3"]) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert dataclasses.asdict(from_dict(OmegaConf.to_container(shown))) == dataclasses.asdict(
        settings_of("seed=3")
    )


def test_a_budget_of_time_trains_as_many_members_as_it_serves():
    none, least, one, two, most = map(members_within, (None, 0.1, 1, 2, 60))
    assert none == most == 24
    assert 2 <= least <= one < two < most


@pytest.mark.parametrize(
    ("overrides", "depths"),
    [
        ([], {(1000,): 6, (1000,) * 3: 18}),
        (["trainer.max_minutes=2"], {(1000,): 3, (1000,) * 2: 7}),
    ],
)
def test_short_budgets_of_the_density_recipe_have_no_residual_blocks(overrides, depths):
    settings = settings_of("experiment=density", "dataset.path=table.npz", *overrides)
    layers = member_layers(settings.ordering, settings.model.layer_sizes, residual=False)
    assert Counter(sizes for sizes, _ in layers) == depths
