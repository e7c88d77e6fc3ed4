"""The house: imports point down a ladder, in no circle; the product speaks of itself alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "made_exp"
MAX_LINES = 300
MAX_ROOMS = 25
# From the ground up; rooms look down only, never at each other on one floor.
FLOORS = [
    {"errors", "files", "runtime", "machine", "memory", "variables", "masks", "kernels"},
    {"datasets"},
    {"settings"},
    {"model", "runs"},
    {"training", "reporting", "density"},
    {"experiments"},
    {"cli"},
    {"train", "eval", "sample", "query", "report", "export", "sklearn"},
]
RUN_BY = {
    "cli.fit": "test_fit",
    "cli.answers": "test_lost_jobs",
    "cli.dashes": "test_errors",
    "cli.launchers": "test_lost_jobs",
    "cli.ray_train": "test_ray_cluster",
    "cli.search": "test_search",
    "datasets.baselines.fitted": "test_simple_members",
    "datasets.baselines.smoothing": "test_simple_densities",
    "density.paths": "test_probability",
    "density.simple_events": "test_probability",
    "datasets.table.loader": "test_table_splits",
    "datasets.table.centuries": "test_table_dates",
    "datasets.table.guesses": "test_table_guesses",
    "datasets.table.odd": "test_table_guesses",
    "datasets.table.notations": "test_table_numbers",
    "datasets.table.patterns": "test_table_dates",
    "datasets.table.quantities": "test_table_suspicions",
    "datasets.table.sentinels": "test_table_suspicions",
    "datasets.table.setting_aside": "test_table_schema",
    "datasets.table.steps": "test_table_steps",
    "density.classes": "test_density",
    "datasets.table.matching": "test_density",
    "density.completing": "test_density",
    "density.durations": "test_events",
    "density.wrapped": "test_density",
    "datasets.baselines.boxes": "test_simple_densities",
    "experiments.best_model": "test_draw_lengths",
    "experiments.chosen": "test_chosen_rows",
    "experiments.outcome": "test_experiment",
    "experiments.querying": "test_query",
    "experiments.validation": "test_processes",
    "experiments.evaluation_plots": "test_row_scores",
    "experiments.new_rows": "test_row_scores",
    "experiments.oddest": "test_row_scores",
    "experiments.row_scores": "test_row_scores",
    "experiments.row_summary": "test_row_scores",
    "experiments.row_writers": "test_row_scores",
    "experiments.targets": "test_row_scores",
    "model.completion": "test_completion",
    "model.component": "test_members",
    "model.levels": "test_layers",
    "model.made": "test_made",
    "model.members": "test_members",
    "model.network_vjp": "test_direct_step",
    "model.networks": "test_made",
    "settings.dataset": "test_config",
    "sklearn.classifier": "test_sklearn",
    "sklearn.density": "test_sklearn",
    "sklearn.estimator": "test_sklearn",
    "sklearn.imputer": "test_sklearn",
    "training.clock": "test_training",
    "training.loop": "test_training",
    "training.post": "test_processes",
    "variables.echoes": "test_conditionals",
    "variables.restricted": "test_restricted",
    "model.first_units": "test_many_orders",
    "model.steps": "test_many_orders",
    "variables.conditionals.turned": "test_many_orders",
    "variables.restricted_number": "test_restricted",
}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(PACKAGE.rglob("*.py"))
# The package's own front door: what `from made_exp import ...` gives, imported when first used.
FRONT_DOOR = PACKAGE / "__init__.py"


def parts_of(path):
    """The dotted name of a module below made_exp, as its parts."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {parts_of(path): path for path in SOURCES}


def imports(path):
    """Every imported module name in a file: function bodies and TYPE_CHECKING included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif is_lazy_import(node):
            yield node.args[0].value


def is_lazy_import(node):
    """Whether a node is `import_module("a.name")`."""
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    name = is_call and getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name == "import_module" and isinstance(node.args[0], ast.Constant)


def own_imports(path):
    """The modules of the package that a file imports, as parts."""
    for name in imports(path):
        parts = tuple(name.split("."))
        if parts[0] == "made_exp" and parts[1:] in MODULES and parts[1:]:
            yield parts[1:]


def is_import_of(name, package):
    return name == package or name.startswith(package + ".")


def circle_in(arrows):
    """A circle in a graph {node: set of nodes} as a list of nodes, or None."""
    state, trail = {}, []

    def visit(node):
        state[node] = "open"
        trail.append(node)
        for below in sorted(arrows.get(node, ())):
            if state.get(below) == "open":
                return [*trail[trail.index(below) :], below]
            if below not in state and (found := visit(below)):
                return found
        state[node] = "done"
        trail.pop()
        return None

    for node in sorted(arrows):
        if node not in state and (found := visit(node)):
            return found
    return None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_ladder(path):
    if path == FRONT_DOOR:
        return
    room = parts_of(path)[0]
    assert room in FLOOR, f"{room} has no floor: add it to FLOORS"
    for imported in own_imports(path):
        if imported[0] != room:
            assert FLOOR[imported[0]] < FLOOR[room], f"{room} imports {imported[0]}, not below it"


def test_modules_import_each_other_in_no_circle():
    arrows = {
        parts: {one for one in own_imports(path) if one != parts and one != parts[:-1]}
        for parts, path in MODULES.items()
        if path != FRONT_DOOR
    }
    # A package's __init__ may gather its modules; a module that asks its package asks them all.
    found = circle_in(arrows)
    assert found is None, " -> ".join(".".join(parts) for parts in found)


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_the_house_is_small():
    rooms = {
        path.name
        for path in PACKAGE.iterdir()
        if path.name != "__pycache__" and (path.suffix == ".py" or path.is_dir())
    }
    assert len(rooms) <= MAX_ROOMS, sorted(rooms)
    assert len(FLOORS) <= 8


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        (("hydra",), {"cli"}),
        (("omegaconf",), {"cli"}),
        (("triton",), {"kernels"}),
        (("bokeh", "matplotlib", "tensorboard", "torch.utils.tensorboard"), {"reporting"}),
    ],
)
def test_libraries_stay_at_their_door(packages, allowed):
    for path in SOURCES:
        if (parts_of(path) or ("",))[0] not in allowed:
            for imported in imports(path):
                assert not any(is_import_of(imported, package) for package in packages), (
                    f"{path.relative_to(ROOT)} imports {imported}"
                )


def test_every_module_has_its_test():
    """A test imports or patches it; or RUN_BY names one that runs it through what is above it."""
    tests = [path for path in (ROOT / "tests").glob("*.py") if path.stem != "test_adding"]
    named = {name for path in tests for name in imports(path)}
    for path in tests:
        named |= {
            name.rpartition(".")[0] for name in re.findall(r"made_exp[.\w]+", path.read_text())
        }
    untested = {
        ".".join(parts)
        for parts, path in MODULES.items()
        if path.stem != "__init__" and ".".join(("made_exp", *parts)) not in named
    }
    assert untested <= RUN_BY.keys(), "import it in a test, or say in RUN_BY which test runs it"
    assert {f"{name}.py" for name in RUN_BY.values()} <= {path.name for path in tests}


def test_files_are_short_and_have_no_vague_names():
    for path in SOURCES:
        lines = path.read_text().count("\n")
        is_kernel = "triton" in path.name
        assert is_kernel or lines <= MAX_LINES, f"{path.relative_to(ROOT)}: {lines} lines"
        assert path.stem not in {"utils", "helpers", "misc", "common"}


@pytest.mark.parametrize(
    ("modules", "refused"),
    [
        (
            "made_exp.model.build, made_exp.model.evaluation, made_exp.datasets.base",
            ("hydra", "omegaconf", "tensorboard", "matplotlib"),
        ),
        (
            "made_exp.settings.experiment, made_exp.datasets.registry, "
            "made_exp.datasets.table.sources",
            ("torch", "hydra", "polars"),
        ),
        ("made_exp.cli.app", ("torch", "polars")),
        ("made_exp.experiments.experiment", ("bokeh",)),
    ],
)
def test_heavy_libraries_are_not_dragged_in(modules, refused):
    code = (
        f"import sys, {modules}\n"
        f"bad = [m for m in {refused} if m in sys.modules]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
