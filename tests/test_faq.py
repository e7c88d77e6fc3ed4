"""The page of errors says what the commands say."""

import re
import shlex
from pathlib import Path

import pytest

from made_exp.eval import main as made_eval
from made_exp.train import main as made_train

PAGE = Path(__file__).parents[1] / "docs/faq.md"
SHOWN = re.findall(r"^```console\n\$ (.*)\n(.*)\n```", PAGE.read_text(), re.M)
MAINS = {"made-train": made_train, "made-eval": made_eval}


@pytest.mark.parametrize(("command", "message"), SHOWN, ids=[command for command, _ in SHOWN])
def test_mistakes_are_answered_as_the_page_says(command, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MADE_DATA_DIR", str(tmp_path / "data"))
    Path("people.csv").write_text("age,town\n" + "".join(f"{a},{'xy'[a % 2]}\n" for a in range(60)))
    program, *arguments = shlex.split(command)
    if "device=cuda" in command:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert MAINS[program](arguments) == 2
    said = capfd.readouterr().err
    pattern = ".*".join(re.escape(part) for part in message.split("..."))
    assert re.search(rf"^{pattern}$", said, re.M), said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["people.csv"]
