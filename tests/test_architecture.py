"""The house: imports point down a ladder, files are short, the product speaks of itself alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "made_exp"
MAX_LINES = 300
RUNGS = [
    [
        "files",
        "variables",
        "orderings",
        "mixture",
        "class_labels",
        "distributions",
        "bases",
        "kernels",
        "runs",
        "runtime",
    ],
    [
        "masks",
        "mask_schedules",
        "connectivity",
        "conditionals",
        "encodings",
        "datasets",
        "baselines",
    ],
    ["layers", "variable_groups", "networks", "ensembles", "network_vjp"],
    ["sampling_plan", "sampling", "sampler_cache"],
    ["completion", "made"],
    ["architectures", "evaluation", "checks"],
    ["reporting"],
    ["training"],
    ["config", "experiment", "loading", "preparation", "given", "drawing", "results", "scoring"],
    ["train", "eval", "sample", "report"],
]
RUNG = {name: rung for rung, names in enumerate(RUNGS) for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def module_of(path):
    """The first part of a module's name below made_exp."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Every imported module name in a file, function bodies included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_import_of(name, package):
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_ladder(path):
    name = module_of(path)
    if name == "__init__":
        return
    assert name in RUNG, f"{name} has no rung: add it to RUNGS"
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] == "made_exp" and len(parts) > 1 and parts[1] in RUNG and parts[1] != name:
            below = RUNG[parts[1]]
            assert below <= RUNG[name], f"{name} imports {parts[1]}, which is above it"


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        (("hydra", "omegaconf"), {"config", "train", "eval", "sample", "report"}),
        (("triton",), {"kernels"}),
        (("matplotlib", "tensorboard", "torch.utils.tensorboard"), {"reporting"}),
    ],
)
def test_libraries_stay_at_their_door(packages, allowed):
    for path in SOURCES:
        if module_of(path) not in allowed:
            for imported in imports(path):
                assert not any(is_import_of(imported, package) for package in packages), (
                    f"{path.relative_to(ROOT)} imports {imported}"
                )


def test_files_are_short_and_have_no_vague_names():
    for path in SOURCES:
        lines = path.read_text().count("\n")
        is_kernel = "triton" in path.name
        assert is_kernel or lines <= MAX_LINES, f"{path.relative_to(ROOT)}: {lines} lines"
        assert path.stem not in {"utils", "helpers", "misc", "common"}


def test_models_import_without_hydra_and_tensorboard():
    code = (
        "import sys, made_exp.architectures, made_exp.evaluation, made_exp.datasets\n"
        "bad = [m for m in ('hydra', 'omegaconf', 'tensorboard', 'matplotlib') "
        "if m in sys.modules]\n"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_module_has_its_test():
    tested = " ".join(path.name for path in (ROOT / "tests").glob("test_*.py"))
    for module in ("orderings", "masks", "conditionals", "encodings", "made", "sampling"):
        assert f"test_{module}" in tested
