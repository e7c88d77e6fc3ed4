"""Products in bfloat16 on the CPU: gradients, what stays float32, resuming, and what auto picks."""

import contextlib
import logging

import pytest
import torch
from builders import tiny_made
from experiment_cases import make_settings, read_results
from test_resume import check
from training_cases import make_case

from made_exp.errors import ConfigError
from made_exp.experiments import precision as settled
from made_exp.experiments.experiment import run
from made_exp.kernels import bfloat16
from made_exp.kernels.bfloat16 import bfloat16_products, choose_precision, has_bfloat16_products
from made_exp.model.layers import MaskedLinear
from made_exp.settings.training import TrainerSettings
from made_exp.training import assembly, step
from made_exp.training.assembly import step_kind
from made_exp.training.batches import Batches
from made_exp.training.learner import TrainedMember
from made_exp.training.step import DirectStep, TrainStep
from made_exp.variables.variable import binary_variables

CPU = torch.device("cpu")
NUM_DIMS = 32
MODELS = {
    "dense": {"hidden_sizes": (48,)},
    "blocks": {"hidden_sizes": (96, 96), "backend": "staircase"},
    "resampled masks": {"hidden_sizes": (48, 48), "ordering": "agnostic"},
    "dropout": {"hidden_sizes": (48, 48), "dropout": 0.3, "direct_connections": True},
    "residual": {"hidden_sizes": (48,) * 3, "residual": True, "direct_connections": True},
    "left to autograd": {"hidden_sizes": (48, 48), "backend": "dense", "activation": "tanh"},
}


@pytest.fixture
def lacking(monkeypatch):
    """A CPU without bfloat16 products, whatever this one has."""
    for module in (bfloat16, assembly, step, settled):
        monkeypatch.setattr(module, "has_bfloat16_products", lambda: False)


def trained_once(model, precision):
    """The step, and after it the gradients by name."""
    x = (torch.rand(64, NUM_DIMS, generator=torch.Generator().manual_seed(1)) < 0.5).to(torch.uint8)
    batches = Batches(x, len(x), seed=0, device=CPU)
    settings = TrainerSettings(precision=precision)
    members = [TrainedMember(m, torch.optim.SGD(m.parameters(), lr=0.0)) for m in model.members]
    one = step_kind(model, batches, settings)(model, members, batches, settings)
    one(torch.arange(len(x)), 5, 0.0)
    named = model.named_parameters()
    return one, {name: p.grad.clone() for name, p in named if p.grad is not None}


def check_gradients(model):
    before = torch.backends.mkldnn.matmul.fp32_precision
    _, exact = trained_once(model, "fp32")
    one, rounded = trained_once(model, "bf16")
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    assert exact.keys() == rounded.keys()
    for name, gradient in exact.items():
        assert rounded[name].dtype == torch.float32
        error = (rounded[name] - gradient).norm() / gradient.norm()
        assert 0 < error < 3e-2, name  # bfloat16 rounds by up to 2**-9, a few times in a row
    return one


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_float32_within_the_rounding_of_bfloat16(name):
    model = tiny_made(binary_variables(NUM_DIMS), **MODELS[name]).train().requires_grad_(True)
    one = check_gradients(model)
    is_direct = has_bfloat16_products() and name != "left to autograd"
    assert type(one) is (DirectStep if is_direct else TrainStep)


@pytest.mark.usefixtures("lacking")
def test_a_cpu_without_them_imitates_them():
    model = tiny_made(binary_variables(NUM_DIMS), (48, 48)).train().requires_grad_(True)
    assert type(check_gradients(model)) is TrainStep


def test_the_switch_goes_back_where_it_was():
    before = torch.backends.mkldnn.matmul.fp32_precision
    with bfloat16_products():
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    with contextlib.suppress(KeyError), bfloat16_products():
        raise KeyError
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.skipif(not has_bfloat16_products(), reason="this CPU has no bfloat16 products")
def test_factors_are_rounded_and_sums_are_not(generator):
    x, y = (torch.randn(64, 64, generator=generator) for _ in range(2))
    with bfloat16_products():
        product = x @ y
    torch.testing.assert_close(product, x.bfloat16().float() @ y.bfloat16().float())


def test_all_but_products_is_float32_and_what_masks_remove_stays_zero(tmp_path):
    trainer = make_case(
        tmp_path,
        dtype=torch.float32,
        optimizer="adamw",
        kernel="staircase",
        hidden_sizes=(64, 64),
        trainer={"precision": "bf16", "weight_averaging": 0.9},
    )
    trainer.train()
    (member,) = trainer.learner.members
    for edge in member.network.edges:
        weight = edge.layer.dense_layout(edge.layer.weight.detach())
        assert bool((weight != 0).any())
        assert torch.equal(weight, edge.layer.masked_weight().detach())
    for parameter in member.network.parameters():
        kept = member.optimizer.state[parameter]
        kinds = {parameter.dtype, parameter.grad.dtype, *(value.dtype for value in kept.values())}
        assert kinds == {torch.float32}


@pytest.mark.parametrize("kernel", ["staircase", "dense"])
def test_resumes_exactly(tmp_path, kernel):
    trainer = {"precision": "bf16", "weight_averaging": 0.9}
    check(tmp_path, [5], dtype=torch.float32, hidden_sizes=(64, 64), kernel=kernel, trainer=trainer)


def test_blocks_are_fewer_and_the_state_dict_is_the_same():
    exact, rounded = (
        MaskedLinear(
            200,
            400,
            degrees=(torch.arange(200), torch.arange(400) // 2),
            backend="staircase",
            dtype=dtype,
            generator=torch.Generator().manual_seed(0),
        )
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert len(rounded.structure.layout.sizes) < len(exact.structure.layout.sizes)
    assert torch.equal(rounded.state_dict()["weight"], exact.state_dict()["weight"])


def test_auto_goes_by_the_processor_and_by_size(monkeypatch):
    for has, chosen in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(bfloat16, "has_bfloat16_products", lambda has=has: has)
        assert choose_precision(CPU, [784, 2000, 784]) == chosen
        assert choose_precision(CPU, [100, 2000, 2000, 100]) == chosen
        assert choose_precision(CPU, [100, 1000, 1000, 100]) == "fp32"
        assert choose_precision(torch.device("cuda", 0), [784, 4000, 784]) == "fp32"


def test_a_run_says_and_keeps_what_auto_chose(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    options = {"precision": "auto", "num_threads": 1}
    monkeypatch.setattr(settled, "choose_precision", lambda device, widths: "bf16")
    run(make_settings(tmp_path, trainer={**options, "max_steps": 3}), tmp_path / "run")
    assert "trainer.precision=auto: bf16, by the processor" in caplog.text
    assert read_results(tmp_path / "run")["precision"] == "bf16"

    monkeypatch.setattr(settled, "choose_precision", lambda device, widths: "fp32")
    monkeypatch.setattr(settled, "has_bfloat16_products", lambda: False)
    caplog.clear()
    longer = make_settings(tmp_path, resume=True, trainer={**options, "max_steps": 5})
    run(longer, tmp_path / "run")
    assert "trainer.precision=auto: bf16, as the run began" in caplog.text
    assert "trainer.precision=bf16: this CPU has no bfloat16 products" in caplog.text
    assert read_results(tmp_path / "run")["precision"] == "bf16"

    changed = make_settings(tmp_path, resume=True, trainer={**options, "precision": "fp32"})
    with pytest.raises(ConfigError, match=r"trainer\.precision: auto -> fp32"):
        run(changed, tmp_path / "run")
