"""docs/adding.md, followed to the letter in a copy of the package; each of its steps is needed."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = [
    "trainer=debug",
    "trainer.device=cpu",
    "trainer.tensorboard=false",
]
RE = re.MULTILINE | re.DOTALL
BLOCK = re.compile(
    r"^(?P<where>New file|First line of `\w+` in|End of) `(?P<path>\S+)`:\n\n"
    r"```python\n(?P<code>.*?)^```",
    RE,
)


@dataclass(frozen=True)
class Step:
    """One block of code, and where it is to go."""

    where: str
    path: str
    code: str

    def follow(self, copy):
        path = copy / self.path
        assert path.exists() is (self.where != "New file"), self.path
        text = path.read_text() if path.exists() else ""
        if table := re.match(r"First line of `(\w+)`", self.where):
            text, count = re.subn(
                rf"^{table[1]}\b.* = {{\n",
                lambda found: found[0] + self.code,
                text,
                flags=re.MULTILINE,
            )
            assert count == 1, table[1]
        else:
            text += ("\n\n" if text else "") + self.code
        path.write_text(text)


def sections():
    """Heading -> steps and command of every section that has a command."""
    found = {}
    for section in (ROOT / "docs/adding.md").read_text().split("\n## ")[1:]:
        steps = [Step(m["where"], m["path"], m["code"]) for m in BLOCK.finditer(section)]
        command = re.search(r"```console\nmade-train (.*)\n```", section)
        assert bool(steps) is bool(command), section.splitlines()[0]
        assert len(steps) == section.count("```python"), "a block without its place"
        if command:
            found[section.splitlines()[0]] = steps, shlex.split(command[1])
    return found


SECTIONS = sections()


@pytest.fixture
def copy(tmp_path):
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("made_exp", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skipped)
    return tmp_path


def train(copy, arguments):
    environment = {**os.environ, "PYTHONPATH": str(copy), "MADE_DATA_DIR": str(copy / "data")}
    command = [sys.executable, "-m", "made_exp.train", *arguments, *TINY, "hydra.run.dir=run"]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)


def test_the_guide_has_what_the_readme_promises():
    readme = (ROOT / "README.md").read_text()
    for section in SECTIONS:
        assert f"| {section.lower()} |" in readme


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_added_trains_and_is_in_the_help(copy, section):
    steps, arguments = SECTIONS[section]
    for step in steps:
        step.follow(copy)
    done = train(copy, arguments)
    assert done.returncode == 0, done.stderr
    assert (copy / "run/results.json").exists()
    name = arguments[0].split("=")[1]
    told = train(copy, ["--help"]).stdout
    assert re.search(rf"\b{name}\b", told)


def test_an_option_can_have_a_file_of_its_own(copy):
    text = (ROOT / "docs/adding.md").read_text()
    path, content = re.search(r"New file `(\S+\.yaml)`:\n\n```yaml\n(.*?)^```", text, RE).groups()
    for step in SECTIONS["An optimizer"][0]:
        step.follow(copy)
    (copy / path).write_text(content)
    done = train(copy, ["optimizer=rmsprop", "dataset=smiley"])
    assert done.returncode == 0, done.stderr
    saved = json.loads((copy / "run/config.json").read_text())
    assert saved["optimizer"]["alpha"] == 0.9
    assert content.splitlines()[0].removeprefix("# ") in train(copy, ["--help"]).stdout


@pytest.mark.parametrize(
    ("section", "missing"),
    [(name, index) for name, (steps, _) in SECTIONS.items() for index in range(len(steps))],
)
def test_every_step_is_needed(copy, section, missing):
    steps, arguments = SECTIONS[section]
    for index, step in enumerate(steps):
        if index != missing:
            step.follow(copy)
    assert train(copy, arguments).returncode != 0
