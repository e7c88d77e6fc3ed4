"""Device, precision, threads, seeds, versions."""

import subprocess
import sys

import pytest
import torch

from made_exp import machine, runtime


def test_cpu_is_taken_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert runtime.resolve_device("auto") == torch.device("cpu")
    assert runtime.resolve_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(ValueError, match=f"device={name} but no CUDA device is visible"):
            runtime.resolve_device(name)


def test_gpus_are_numbered(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert runtime.resolve_device("auto") == torch.device("cuda", 0)
    assert runtime.resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="device=cuda:2 does not exist: cuda:0 to cuda:1"):
        runtime.resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu0", "tpu", "meta", "cuda:x", ""])
def test_unknown_devices_are_refused(name):
    with pytest.raises(ValueError, match="is not one of auto, cpu, cuda"):
        runtime.resolve_device(name)


def test_precision_must_fit_the_device(monkeypatch):
    runtime.check_precision("bf16", torch.device("cpu"))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: False)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "an old GPU")
    with pytest.raises(ValueError, match="bf16 is not supported by an old GPU"):
        runtime.check_precision("bf16", torch.device("cuda", 0))


def test_global_switches_are_put_back():
    before = torch.get_float32_matmul_precision()
    with runtime.matmul_precision("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before
    threads = torch.get_num_threads()
    with runtime.num_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_denormal_numbers_are_zero_while_asked_for():
    tiny = torch.tensor([1e-40])
    with runtime.flushed_denormals():
        with runtime.flushed_denormals():
            pass
        assert float(tiny * 0.5) == 0
    assert float(tiny * 0.5) > 0


def test_derived_seeds_are_fixed_and_distinct():
    assert runtime.derive_seed(0) == runtime.derive_seed(0)
    seeds = {runtime.derive_seed(s, a, b) for s in range(8) for a in range(8) for b in range(8)}
    assert len(seeds) == 512
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert runtime.derive_seed(0, 1, 2) != runtime.derive_seed(0, 2, 1)
    assert runtime.derive_seed(0, 1) != runtime.derive_seed(1, 0)
    # A resumed run may have another version of this package: the streams must not change.
    assert runtime.derive_seed(1, 2, 3) == 7510213797696614745


def test_jobs_side_by_side_spread_over_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    device, taken, contexts = torch.device("cuda", 0), [], []
    for _ in range(4):
        context = runtime.gpu_slot(device, automatic=True)
        contexts.append(context)
        taken.append(context.__enter__().index)
    assert taken == [0, 1, 0, 1]
    contexts[1].__exit__(None, None, None)
    with runtime.gpu_slot(device, automatic=True) as free:
        assert free.index == 1
    for context in (contexts[0], *contexts[2:]):
        context.__exit__(None, None, None)


def test_a_chosen_device_takes_no_slot(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with runtime.gpu_slot(torch.device("cuda", 1), automatic=False) as device:
        assert device.index == 1
    with runtime.gpu_slot(torch.device("cpu"), automatic=True) as device:
        assert device.type == "cpu"
    assert not list(tmp_path.iterdir())


def test_slots_are_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setenv("MADE_SLOTS_PER_GPU", "1")
    first = runtime.gpu_slot(torch.device("cuda", 0), automatic=True)
    first.__enter__()
    waits = []

    def wait(seconds):
        waits.append(seconds)
        first.__exit__(None, None, None)

    monkeypatch.setattr("time.sleep", wait)
    with runtime.gpu_slot(torch.device("cuda", 0), automatic=True) as device:
        assert device.index == 0
    assert len(waits) == 1


def test_versions_name_what_numbers_depend_on():
    versions = runtime.versions()
    assert {"python", "platform", "torch", "numpy", "made-exp"} <= versions.keys()
    assert all(isinstance(value, str) for value in versions.values())


def test_git_commit_is_a_hash_or_nothing(monkeypatch):
    commit = machine.git_commit()
    assert commit is None or len(commit.removesuffix("+changes")) == 40
    monkeypatch.setattr("subprocess.run", lambda *a, **k: (_ for _ in ()).throw(OSError()))
    assert machine.git_commit() is None


def test_the_package_offers_its_two_functions_before_they_are_imported():
    shown = "sorted(made_exp.__all__), set(made_exp.__all__) <= set(dir(made_exp))"
    code = f"import sys, made_exp; print({shown}, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["['fit',", "'load_run']", "True", "False"]
