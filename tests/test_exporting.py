"""Models taken along in one file: every kind comes back bit for bit, foreign files are refused."""

import itertools
import json
import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from experiment_cases import make_settings
from safetensors.torch import load_file, save_file
from test_tables import blanked, wine_rows, write

from made_exp import eval as made_eval
from made_exp import export as made_export
from made_exp import load_run
from made_exp import sample as made_sample
from made_exp.errors import CheckpointError, ConfigError
from made_exp.experiments.experiment import run
from made_exp.experiments.exporting import export_run
from made_exp.experiments.finished import FinishedRun
from made_exp.runs.portable import load_portable, save_portable
from made_exp.settings.commands import ExportSettings
from made_exp.settings.model import BASELINES

SHORT = {"max_steps": 3, "samples_every": 0, "num_samples": 4}
KINDS = {
    "histogram": {"dataset": {"name": "gaussian_1d"}, "model": {"name": "histogram"}},
    "logistic": {"dataset": {"name": "bimodal_1d"}, "model": {"name": "logistic_mixture"}},
    "binary": {"ordering": {"name": "agnostic", "num_orderings": 2}},
    "classes": {"labels": True, "ordering": {"name": "agnostic", "num_orderings": 3}},
    "table": {
        "ordering": {"name": "ensemble", "num_orderings": 2},
        "model": {"name": "made", "hidden_sizes": [8], "baselines": list(BASELINES)},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of each kind, and what made-export makes of it."""
    folder = tmp_path_factory.mktemp("export")
    write(folder / "wine.csv", blanked(wine_rows()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MADE_DATA_DIR", str(folder / "data"))
        for name, changes in KINDS.items():
            own = folder / "of_classes" if name == "classes" else folder
            own.mkdir(exist_ok=True)
            if name == "table":
                dataset = {"name": "table", "path": str(folder / "wine.csv"), "missing": "model"}
                changes = {**changes, "dataset": dataset}
            run(make_settings(own, trainer=SHORT, **changes), folder / name)
            path = folder / f"{name}.safetensors"
            assert made_export.main([f"run={folder / name}", f"path={path}"]) == 0
        yield folder


@pytest.mark.parametrize("name", KINDS)
def test_a_model_comes_back_bit_for_bit_from_one_file(folder, name, tmp_path):
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes((folder / f"{name}.safetensors").read_bytes())
    kept, model = FinishedRun(folder / name, "cpu"), load_run(moved).made
    x, context = kept.examples("train")
    for grad in (False, True):
        ours, theirs = (m.log_prob(x, context, grad=grad) for m in (model, kept.model))
        assert torch.equal(ours, theirs)
    labels = None if context is None else context[:20]
    drawn = [
        m.sample(20, generator=torch.Generator().manual_seed(3), context=labels)
        for m in (model, kept.model)
    ]
    assert torch.equal(*(x.nan_to_num(-1) for x in drawn))


def test_the_file_holds_tensors_and_json(folder):
    path = folder / "table.safetensors"
    expected = FinishedRun(folder / "table", "cpu")
    weights = load_file(path)
    assert weights.keys() == expected.model.state_dict().keys()
    content = load_portable(path)
    assert content.keys() == {"version", "config", "data", "versions", "model"}
    assert content["config"]["dataset"]["path"] == str(folder / "wine.csv")
    assert json.loads(json.dumps(content["data"])) == content["data"]
    assert b"pickle" not in path.read_bytes()


def test_commands_take_the_file_for_a_run(folder, tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    path.write_bytes((folder / "table.safetensors").read_bytes())
    rows = ["num_samples=5", "seed=1"]
    made_sample.main([f"run={folder / 'table'}", *rows, f"path={tmp_path / 'a.csv'}"])
    made_sample.main([f"run={path}", *rows])
    of_file = tmp_path / "m_samples_seed_1.csv"
    assert capsys.readouterr().out.splitlines()[-1] == str(of_file)
    assert of_file.read_text() == (tmp_path / "a.csv").read_text()
    assert made_eval.main([f"run={path}", f"data={folder / 'wine.csv'}"]) == 0
    outcome = json.loads((tmp_path / "m_evaluation_test_2.json").read_text())
    results = json.loads((folder / "table" / "results.json").read_text())
    assert outcome["nll"] == pytest.approx(results["test"]["nll"])
    assert {p.name for p in tmp_path.iterdir()} >= {"m.safetensors", "a.csv"}


def test_it_is_exported_again_but_not_onto_itself(folder, tmp_path, capsys):
    first = tmp_path / "first.safetensors"
    first.write_bytes((folder / "binary.safetensors").read_bytes())
    again = tmp_path / "again.safetensors"
    assert made_export.main([f"run={first}", f"path={again}"]) == 0
    assert again.read_bytes() == first.read_bytes()
    assert made_export.main([f"run={first}", f"path={first}"]) == 2
    assert "is read from; give the file another name" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"the folder of '.*' does not exist"):
        export_run(ExportSettings(run=str(first), path=f"{tmp_path}/no/m.safetensors"))


def test_a_file_that_cannot_be_read_is_one_line(folder, tmp_path, capsys):
    good, path = (folder / "binary.safetensors").read_bytes(), tmp_path / "m.safetensors"
    (length,) = struct.unpack("<Q", good[:8])
    other = good.replace(b'\\"version\\": 1', b'\\"version\\": 9')
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    for content, message in (
        (b"", "is damaged or no .safetensors file"),
        (b"run=a", "is damaged or no .safetensors file"),
        (np.random.default_rng(0).bytes(500), "its header is longer than it is"),
        (good[:-7], "is damaged or no .safetensors file"),
        (good[:8] + b"[" + good[9:], "is damaged or no .safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "holds no model of made-exp"),
        ((tmp_path / "foreign.safetensors").read_bytes(), "holds no model of made-exp"),
        (other, "is of version 9, this made-exp reads version 1"),
        (good.replace(b'{\\"model\\"', b'{\\"modal\\"'), "does not describe a model: 'model'"),
    ):
        path.write_bytes(content)
        assert made_sample.main([f"run={path}", "num_samples=2"]) in (1, 2)
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["foreign.safetensors", "m.safetensors"]
    assert length < len(good)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_portable(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_portable(tmp_path / "no" / "m.safetensors", {}, {})
    with pytest.raises(ValueError, match="does not exist"):
        load_run(Path("none.safetensors"))


def test_the_examples_of_help_write_programs_that_sum_to_one(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/runs").mkdir(parents=True)
    (tmp_path / "outputs/runs/RUN").symlink_to(folder / "binary")
    for example in made_export.main.examples:
        assert made_export.main(example.split()) == 0
    x = torch.tensor([*itertools.product((0.0, 1.0), repeat=8)])
    expected = load_run("model.safetensors").log_prob(x)
    extra = {"made_exp": ""}
    exported = torch.export.load("model.pt2", extra_files=extra).module()(x)
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    for log_prob in (exported, torch.from_numpy(session.run(None, {"x": x.numpy()})[0])):
        assert torch.allclose(log_prob, expected, atol=1e-5)
        assert float(log_prob.double().logsumexp(0)) == pytest.approx(0.0, abs=1e-5)
    (one,) = session.run(None, {"x": x[5:6].numpy()})
    assert one == pytest.approx(expected[5:6].numpy(), abs=1e-5)
    told = json.loads(extra["made_exp"])
    assert told["columns"][0] == {"name": "x0", "num_values": 2, "values": None}
    assert json.loads(session.get_modelmeta().custom_metadata_map["made_exp"]) == told
    assert b"made_exp/" not in Path("model.onnx").read_bytes()


def test_a_program_of_another_model_is_refused(folder, tmp_path, capsys):
    assert made_export.main([f"run={folder / 'table'}", f"path={tmp_path / 'no.onnx'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a program of log_prob is of binary and categorical columns")
    assert not list(tmp_path.iterdir())
