"""Programs of log_prob: equal to the model in torch.export and onnxruntime, and normalised."""

import io
import itertools
import json
import math

import pytest
import torch
from builders import MIXED, build_made, make_schedules
from test_simple_densities import DISCRETE, all_codes, discrete_rows
from test_simple_members import model_of

from made_exp.density.program import LogProbProgram
from made_exp.density.simple_program import TablesProgram
from made_exp.errors import ConfigError
from made_exp.experiments import programs
from made_exp.model.made import MADE
from made_exp.model.simple import KINDS
from made_exp.variables.variable import Kind, Variable, binary_variables

VALUES = (
    Variable("letter", Kind.CATEGORICAL, 4, categories=tuple("abcd")),
    Variable("switch", Kind.BINARY, 2),
    Variable("level", Kind.ORDINAL, 3),
    Variable("rare", Kind.CATEGORICAL, 5, pooled=(0.25, 0.75), reserve=0.1),
    Variable("maybe", Kind.BINARY, 2, may_be_missing=True),
)
RESAMPLED = {"num_orderings": 3, "resample": "both"}
MODELS = {
    "binary": (binary_variables(5), ("natural", {}), {"direct_connections": True}),
    "agnostic": (VALUES, ("agnostic", RESAMPLED), {"conditioning_weights": True}),
    "by_variable": (VALUES, ("agnostic", {**RESAMPLED, "hidden_degrees": "by_variable"}), {}),
    "ensemble": (VALUES, ("ensemble", {"num_orderings": 3}), {"fits_weights": True}),
    "residual": (VALUES, ("agnostic", {**RESAMPLED, "residual": True}), {"residual": True}),
    "classes": (VALUES[:2], ("random", {}), {"num_classes": 3}),
    "one": (VALUES[:1], ("natural", {}), {}),
}


@torch.no_grad()
def made_of(name, dtype=torch.float64):
    """A model of random weights, in evaluation mode."""
    variables, (ordering, options), more = MODELS[name]
    source = torch.Generator().manual_seed(0)
    schedules = make_schedules(ordering, len(variables), [9, 9, 9], **options)
    made = build_made(variables, schedules, generator=source, backend="staircase", **more)
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=source)
    if more.get("fits_weights"):
        made.mixture._log_weights.copy_(torch.tensor([0.3, -torch.inf, 1.0]))
    for network in made.members:  # what is masked is zero in layers of fixed masks
        for edge in network.edges:
            if edge.layer.is_fixed:
                edge.layer.weight.data = edge.layer.stored_layout(edge.layer.masked_weight())
    return made.to(dtype).eval()


def all_rows(made):
    """Every row that the model knows, and a class for each where it has any."""
    values = [
        [*range(v.num_values), *([math.nan] if v.may_be_missing else [])]
        for v in made.groups.variables
    ]
    x = torch.tensor([*itertools.product(*values)], dtype=made.dtype)
    return (x, torch.arange(len(x)) % 1 + 1) if made.num_classes else (x,)


@pytest.mark.parametrize("name", MODELS)
def test_a_program_is_the_model_and_sums_to_one(name):
    made = made_of(name)
    rows = all_rows(made)
    log_prob = LogProbProgram(made)(*rows)
    assert torch.allclose(log_prob, made.log_prob(*rows), rtol=1e-12)
    assert float(log_prob.logsumexp(0)) == pytest.approx(0.0, abs=1e-10)


def test_a_part_of_the_orderings_is_a_mixture_too():
    made = made_of("agnostic")
    (x,) = all_rows(made)
    for count in (1, 2):
        assert torch.allclose(LogProbProgram(made, count)(x), made.log_prob(x, num_orderings=count))
    with pytest.raises(ValueError, match=r"num_orderings must be in 1\.\.3"):
        LogProbProgram(made, 4)


def test_values_of_no_column_and_missing_ones_are_told_apart():
    program = LogProbProgram(made_of("agnostic"))
    x = torch.tensor([[4.0, 0, 0, 0, 0], [0, 0.5, 0, 0, 0], [torch.nan, 0, 0, 0, 0]]).double()
    impossible, broken, missing = program(x).tolist()
    assert impossible == broken == -math.inf
    assert math.isnan(missing)


def test_a_written_program_is_the_model_for_any_number_of_rows():
    made = made_of("classes", torch.float32)
    content = programs.program_of(made, ".pt2", {"columns": ["letter"]})
    assert b"made_exp/density" not in content
    rows, extra = all_rows(made), {"made_exp": ""}
    run = torch.export.load(io.BytesIO(content), extra_files=extra).module()
    expected = made.log_prob(*rows)
    assert torch.allclose(run(*rows), expected, rtol=1e-5, atol=1e-5)
    assert torch.allclose(run(*(part[:1] for part in rows)), expected[:1], atol=1e-5)
    assert json.loads(extra["made_exp"]) == {"columns": ["letter"]}


def test_a_program_of_great_logits_does_not_underflow():
    pytest.importorskip("onnxruntime")
    made = made_of("binary", torch.float32)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter *= 300
    (x,) = all_rows(made)
    expected = made.log_prob(x)
    assert expected.min() < -400
    for suffix, run in ((".onnx", programs._run_onnx), (".pt2", programs._run_pt2)):
        found = run(programs.program_of(made, suffix, {}))(x)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrong", [-torch.inf, torch.nan, 7.0])
def test_a_program_that_differs_from_its_model_is_refused_in_one_line(monkeypatch, wrong):
    made = made_of("binary", torch.float32)
    monkeypatch.setattr(programs, "_run_pt2", lambda content: lambda x: torch.full((64,), wrong))
    with pytest.raises(ValueError, match=r"path: the \.pt2 program differs .* take \.safetensors"):
        programs.program_of(made, ".pt2", {})


def test_other_models_are_refused():
    made = build_made(MIXED, make_schedules("natural", 6, [8]))
    with pytest.raises(ValueError, match=r"'weight' is real: take \.safetensors"):
        LogProbProgram(made)
    numbers = (Variable("many", Kind.INTEGER, 60), Variable("one", Kind.BINARY, 2))
    schedules = make_schedules("natural", 2, [8])
    plain = build_made(numbers, schedules, conditional="categorical")
    extras = {"independent": KINDS["independent"](numbers)}
    mixed = MADE(plain.groups, plain.members, extras=extras)
    with pytest.raises(ValueError, match=r"also of independent \(model\.baselines\) with given"):
        LogProbProgram(mixed)
    mixed.mixture._log_weights[-1] = -torch.inf  # it was found to be of no use
    x = torch.zeros(2, 2)
    assert torch.allclose(LogProbProgram(mixed)(x), plain.log_prob(x))


@pytest.mark.parametrize("ordering", ["agnostic", "ensemble"])
def test_simple_densities_are_part_of_the_program(ordering, generator):
    variables, own = (*DISCRETE[:2], DISCRETE[3]), [0, 1, 3]
    made = model_of(ordering, variables, discrete_rows(300, generator)[:, own], generator)
    x = made.groups.decode(all_codes(variables).to(made.groups.code_dtype)).to(made.dtype)
    log_prob = LogProbProgram(made)(x)
    assert torch.allclose(log_prob, made.log_prob(x), rtol=1e-4)
    assert float(log_prob.double().logsumexp(0)) == pytest.approx(0.0, abs=1e-5)
    for name, extra in made.extras.items():
        sizes = [v.num_values + v.may_be_missing for v in variables]
        codes = all_codes(variables).double()
        found = TablesProgram(extra, sizes, torch.float64)(codes)
        assert torch.allclose(found, extra.log_prob(codes), rtol=1e-9), name


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(programs, "find_spec", lambda name: None if name == "onnxscript" else 1)
    programs.check_format(".pt2")
    with pytest.raises(ConfigError, match=r"needs onnxscript: pip install 'made-exp\[onnx\]'"):
        programs.check_format(".onnx")
