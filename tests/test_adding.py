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
    "trainer.num_samples=4",
    "trainer.samples_every=0",
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
    for name in ("made_exp", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)  # with what is compiled, and its times
    return tmp_path


# What is heavy is imported once; the package itself by every child, from the copy.
SERVER = """
import json, os, runpy, sys
import hydra.main, matplotlib.figure, narwhals, numpy, rich.progress, torch
for line in sys.stdin:
    folder, arguments = json.loads(line)
    if not (child := os.fork()):
        os.chdir(folder)
        sys.path.insert(0, folder)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = ["made-train", *arguments]
        runpy.run_module("made_exp.train", run_name="__main__")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    environment["MADE_DATA_DIR"] = str(tmp_path_factory.mktemp("data"))
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, cwd="/", **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def train(server, copy):
    """Runs made-train in the copy of the package; its exit code, stdout and stderr."""

    def run(arguments):
        call = str(copy), [*arguments, *TINY, "hydra.run.dir=run"]
        print(json.dumps(call), file=server.stdin, flush=True)
        code = int(server.stdout.readline())
        return code, (copy / "stdout").read_text(), (copy / "stderr").read_text()

    return run


def test_the_guide_has_what_the_readme_promises():
    readme = (ROOT / "README.md").read_text()
    for section in SECTIONS:
        assert f"| {section.lower()} |" in readme


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_added_trains(copy, train, section):
    steps, arguments = SECTIONS[section]
    for step in steps:
        step.follow(copy)
    code, _, complaint = train(arguments)
    assert code == 0, complaint
    assert (copy / "run/results.json").exists()


def test_what_is_added_is_in_the_help(copy, train):
    for steps, _ in SECTIONS.values():
        for step in steps:
            step.follow(copy)
    told = train(["--help", "all"])[1]
    for _, arguments in SECTIONS.values():
        assert re.search(rf"\b{arguments[0].split('=')[1]}\b", told)


def test_an_option_can_have_a_file_of_its_own(copy, train):
    text = (ROOT / "docs/adding.md").read_text()
    path, content = re.search(r"New file `(\S+\.yaml)`:\n\n```yaml\n(.*?)^```", text, RE).groups()
    for step in SECTIONS["An optimizer"][0]:
        step.follow(copy)
    (copy / path).write_text(content)
    code, _, complaint = train(["optimizer=rmsprop", "dataset=smiley"])
    assert code == 0, complaint
    saved = json.loads((copy / "run/config.json").read_text())
    assert saved["optimizer"]["alpha"] == 0.9
    assert content.splitlines()[0].removeprefix("# ") in train(["--help", "all"])[1]


@pytest.mark.parametrize(
    ("section", "missing"),
    [(name, index) for name, (steps, _) in SECTIONS.items() for index in range(len(steps))],
)
def test_every_step_is_needed(copy, train, section, missing):
    steps, arguments = SECTIONS[section]
    for index, step in enumerate(steps):
        if index != missing:
            step.follow(copy)
    code, _, complaint = train(arguments)
    assert code != 0
    assert "No module named 'made_exp'" not in complaint
