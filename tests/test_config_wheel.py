"""What is given to others: source and wheel are whole, agree, and work without the checkout."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import made_exp

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_one_version_everywhere():
    assert PROJECT["dynamic"] == ["version"]  # read from the package
    version = made_exp.__version__
    cited = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {version}\n" in cited
    newest = re.search(r"^## (\S+) \((\S+)\)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest[1] == version
    assert f"\ndate-released: {newest[2]}\n" in cited


def test_the_lock_has_what_pyproject_asks_for_with_hashes():
    text = (ROOT / "requirements.lock").read_text()
    line = r"#.*|[\w.-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"  # names no index
    assert all(re.fullmatch(line, one) for one in text.splitlines())
    entry = r"^([\w.-]+)==(\S+)(?: ; .+)? \\\n"
    locked = re.findall(entry + "    --hash", text, re.M)
    assert len(locked) == len(re.findall(entry, text, re.M)) > 40
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for wanted in map(Requirement, [*PROJECT["dependencies"], *build]):
        name = canonicalize_name(wanted.name)
        versions = [version for one, version in locked if canonicalize_name(one) == name]
        assert versions, wanted
        assert all(wanted.specifier.contains(version) for version in versions), wanted


def test_every_extra_is_named_in_the_readme():
    text = (ROOT / "README.md").read_text()
    for extra in PROJECT["optional-dependencies"]:
        assert f"[{extra}]" in text, extra


@pytest.mark.parametrize("file", [".pre-commit-config.yaml", ".github/workflows/ci.yml"])
def test_tools_of_others_call_our_scripts(file):
    text = (ROOT / file).read_text()
    scripts = re.findall(r"(?:run|entry): (\S+) ?(\w*)", text)
    assert scripts
    for script, check in scripts:
        assert os.access(ROOT / script, os.X_OK)
        assert f"\n{check}() {{" in (ROOT / script).read_text() or not check


def test_the_source_distribution_is_to_hold_what_its_scripts_and_tests_read():
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = set(asked["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    read = {".ci", ".github", ".pre-commit-config.yaml", "requirements.lock", "mkdocs.yml"}
    assert read | {"README.md", "docs", "scripts", "tests"} <= packed
    assert packed <= {path.name for path in ROOT.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, timeout=280, capture_output=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_sdist_and_wheel_are_whole(built):
    sdist, wheel = built
    name = f"made_exp-{made_exp.__version__}"
    with tarfile.open(sdist) as source:
        in_source = {file.removeprefix(f"{name}/") for file in source.getnames()}
    with zipfile.ZipFile(wheel) as packed:
        in_wheel = set(packed.namelist())
    for folder in ("made_exp", "conf", "docs", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in in_source
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", ".ci/run"} <= in_source
    sources = {file for file in in_source if re.match(r"(made_exp|conf)/.*\.\w+$", file)}
    assert {re.sub(r"^conf/", "made_exp/conf/", file) for file in sources} <= in_wheel
    assert {"made_exp/py.typed", f"{name}.dist-info/licenses/LICENSE"} <= in_wheel


@pytest.mark.slow
def test_wheel_works_without_the_checkout(built, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--target", site]
    subprocess.run([*install, built[1]], check=True)
    command = [sys.executable, "-m", "made_exp.train"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    empty = tmp_path / "empty"
    empty.mkdir()

    def answer(*arguments):
        return subprocess.run(
            [*command, *arguments], cwd=empty, env=environment, capture_output=True, text=True
        )

    assert str(site / "made_exp/conf") in answer("--info=searchpath").stdout
    assert answer("optimizer.lr=-1").returncode == 2
    run = answer("dataset=gaussian_1d", "model=histogram", "trainer=debug")
    assert run.returncode == 0, run.stderr
    assert list(empty.glob("outputs/runs/*/results.json"))
