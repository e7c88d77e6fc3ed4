"""The examples in the docstrings run as they stand, all on the model that the first one trains."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIRST = ("cli", "fit")


def examples_of(path):
    """The docstrings of a module that have examples, with the module's names."""
    module = importlib.import_module(".".join(("made_exp", *path)))
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


MODULES = [
    path.relative_to(ROOT / "made_exp").with_suffix("").parts
    for path in sorted((ROOT / "made_exp").rglob("*.py"))
    if ">>> " in path.read_text()
]


def run(test):
    said = []
    failed = doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    assert failed.failed == 0, "".join(said)
    assert failed.attempted == len(test.examples)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """What the example of `fit` has made, and the folder it has made it in."""
    folder = tmp_path_factory.mktemp("docstrings")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        (test,) = examples_of(FIRST)
        run(test)
    names = {name: test.globs[name] for name in ("pl", "people", "model")}
    return names, folder


def test_the_first_example_keeps_its_run(first):
    assert (first[1] / "outputs/people/results.json").exists()


@pytest.mark.parametrize("module", [path for path in MODULES if path != FIRST], ids=".".join)
def test_examples(first, module, monkeypatch):
    names, folder = first
    monkeypatch.chdir(folder)
    tests = examples_of(module)
    assert tests
    for test in tests:
        test.globs = {**names, **test.globs}
        run(test)


def test_what_the_site_documents_has_an_example():
    """Each name of docs/api.md, itself or one of its methods."""
    for name in re.findall(r"^::: (\S+)", (ROOT / "docs/api.md").read_text(), re.M):
        module, _, member = name.rpartition(".")
        owner = getattr(importlib.import_module(module), member)
        methods = vars(owner).values() if isinstance(owner, type) else ()
        texts = [getattr(thing, "__doc__", None) or "" for thing in (owner, *methods)]
        assert any(">>> " in text for text in texts), f"{name} has no example"
