import pytest
import torch
from builders import MIXED, all_binary, tiny_made
from test_entry import ODD

from made_exp.model.request import Request
from made_exp.model.samplers import sample_by_full_passes
from made_exp.model.sampling import IncrementalSampler
from made_exp.model.sampling_plan import build_plan
from made_exp.variables.variable import Kind, Variable

MODELS = {
    "plain": {},
    "deep": {"hidden_sizes": (12, 9, 11)},
    "residual": {"hidden_sizes": (12,) * 5, "residual": True},
    "direct": {"hidden_sizes": (12, 9), "direct_connections": True},
    "only direct": {"hidden_sizes": (), "direct_connections": True},
    "elu": {"hidden_sizes": (12, 12), "activation": "elu"},
    "conditioning": {"hidden_sizes": (12, 12), "conditioning_weights": True},
    "context": {"hidden_sizes": (12, 12), "num_classes": 3},
    "everything": {
        "hidden_sizes": (12,) * 3,
        "residual": True,
        "direct_connections": True,
        "conditioning_weights": True,
        "num_classes": 3,
        "activation": "tanh",
    },
}
VARIABLES = {
    "binary": None,
    "mixed": MIXED,
    "categorical": tuple(Variable(f"c{d}", Kind.CATEGORICAL, 3 + d) for d in range(5)),
    "one": (Variable("x", Kind.ORDINAL, 5),),
}


@pytest.mark.parametrize("ordering", ["natural", "reversed", "random", "agnostic"])
@pytest.mark.parametrize("model_name", MODELS)
@pytest.mark.parametrize("variables", VARIABLES)
def test_incremental_samples_equal_those_of_full_passes(
    model_name, variables, ordering, device, dtype, generator
):
    model = tiny_made(
        VARIABLES[variables],
        ordering=ordering,
        schedule_options={"num_orderings": 2},
        **MODELS[model_name],
    ).to(device, dtype)
    uniforms = torch.rand(7, sum(model.groups.uniform_widths), generator=generator, dtype=dtype).to(
        device
    )
    is_discrete = all(variable.num_values for variable in model.groups.variables)
    options = {}
    if model.num_classes:
        labels = torch.arange(7, device=device) % 3
        options["context"] = torch.nn.functional.one_hot(labels, 3).to(dtype)
    for index in range(model.num_orderings):
        plan = build_plan(model.component(index), panel=3)
        clamped, sampler = _clamped(model, generator), IncrementalSampler(plan)
        columns = _clamped(model, generator, rows=1)
        for extra in ({}, clamped, columns, clamped, {"temperature": 0.5}):
            request = Request(uniforms, **options, **extra)
            fast = sampler.draw(request)
            plain = sample_by_full_passes(model.component(index), request)
            if is_discrete and dtype == torch.float64:
                assert torch.equal(fast, plain)
            else:
                assert torch.allclose(fast, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ordering", ["natural", "random"])
@pytest.mark.parametrize("model_name", MODELS)
def test_steps_after_known_ones_see_them(model_name, ordering, device, dtype, generator):
    model = tiny_made(MIXED, ordering=ordering, **MODELS[model_name]).to(device, dtype)
    component, labels = model.component(0), _labels(model)
    context = None if labels is None else component.one_hot(labels, 7)
    order = component.masks.ordering
    codes = model.groups.cast(
        model.groups.encode(model.sample(7, generator=generator, context=labels))
    )
    params = component.params(model.groups.features(codes), context)
    sampler, in_order = IncrementalSampler(build_plan(component, panel=2)), codes[:, order]
    for first in range(len(order)):
        seen = {}

        def visit(step, found, seen=seen):
            seen[step] = found.clone()
            return in_order[:, step]

        sampler.walk(7, visit, context, in_order[:, :first])
        assert list(seen) == list(range(first, len(order)))
        for step, found in seen.items():
            start = model.groups.param_starts[order[step]]
            own = params[:, start : start + found.shape[1]]
            torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4)


def _clamped(model, generator, rows=7):
    """Values given in cells at random, or with rows=1 in whole columns."""
    given = model.sample(7, generator=generator, context=_labels(model))
    observed = (torch.rand(rows, model.num_dims, generator=generator) < 0.4).to(given.device)
    return {"given": torch.where(observed, given, torch.nan)}


def _labels(model):
    return torch.zeros(7, dtype=torch.int64, device=model.device) if _has_context(model) else None


def _has_context(model):
    return model.num_classes > 0


def test_one_hot_inputs_sample_alike(device, dtype, generator):
    model = tiny_made(VARIABLES["categorical"], (14,), encoding="one_hot").to(device, dtype)
    uniforms = torch.rand(20, 5, generator=generator, dtype=dtype).to(device)
    plan = build_plan(model.component(0))
    fast = IncrementalSampler(plan).draw(Request(uniforms))
    plain = sample_by_full_passes(model.component(0), Request(uniforms))
    assert torch.equal(fast, plain)


@pytest.mark.parametrize("options", [{}, {"ordering": "agnostic"}, {"residual": True}])
def test_sampled_frequencies_match_the_exact_table(options, device, dtype, generator):
    from scipy.stats import chisquare

    sizes = (12, 12, 12)
    model = tiny_made(
        hidden_sizes=sizes, schedule_options={"num_orderings": 3}, seed=2, **options
    ).to(device, dtype)
    probs = model.log_prob(all_binary(8).to(device)).exp().double().cpu()
    samples = model.sample(40_000, generator=generator, batch_size=5000).cpu()
    codes = (samples.long() * 2 ** torch.arange(7, -1, -1)).sum(1)
    counts = torch.bincount(codes, minlength=256).double()
    common = probs * 40_000 >= 5
    observed = torch.cat([counts[common], counts[~common].sum()[None]])
    expected = torch.cat([probs[common], probs[~common].sum()[None]])
    assert chisquare(observed, expected / expected.sum() * 40_000).pvalue > 1e-3


def test_strong_dependence_is_sampled(device, dtype, generator):
    """Two copies of one coin: a sampler that redraws earlier variables finds no correlation."""
    model = tiny_made(
        tuple(Variable(f"x{d}", Kind.BINARY, 2) for d in range(2)),
        (),
        ordering="reversed",
        direct_connections=True,
    ).to(device, dtype)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    state["networks.0.direct.weight"][0, 1] = 12.0
    state["networks.0.output_bias"][0] = -6.0
    model.load_state_dict(state)
    samples = model.sample(4000, generator=generator)
    assert torch.corrcoef(samples.T)[0, 1] > 0.98


@pytest.mark.parametrize("ordering", ["random", "agnostic"])
def test_a_seed_gives_the_same_samples_whatever_the_batch_size(ordering, device, dtype):
    model = tiny_made(ordering=ordering, schedule_options={"num_orderings": 3}).to(device, dtype)
    draws = [
        model.sample(31, generator=torch.Generator().manual_seed(5), batch_size=size)
        for size in (31, 4, 1)
    ]
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])
    longer = model.sample(40, generator=torch.Generator().manual_seed(5))
    assert torch.equal(longer[:31], draws[0])


def test_samples_follow_the_weights(device, dtype):
    """Prepared weights are reused until a weight changes, also in place."""
    model = tiny_made().to(device, dtype)
    first = model.sample(50, generator=torch.Generator().manual_seed(0))
    sampler = model._samplers._kept[1]
    model.sample(50, generator=torch.Generator().manual_seed(0))
    assert model._samplers._kept[1] is sampler
    with torch.no_grad():
        model.members[0].output_bias += 3
    changed = model.sample(50, generator=torch.Generator().manual_seed(0))
    assert changed.mean() > first.mean()


def test_sampling_leaves_the_global_generator_alone(device, dtype, generator):
    model = tiny_made().to(device, dtype)
    before = torch.random.get_rng_state()
    model.sample(10, generator=generator)
    assert torch.equal(before, torch.random.get_rng_state())


def test_low_temperature_gives_the_likeliest_values(device, dtype, generator):
    model = tiny_made(hidden_sizes=()).to(device, dtype)  # independent variables
    samples = model.sample(20, generator=generator, temperature=1e-3)
    assert torch.equal(samples, (model.members[0].output_bias > 0).to(dtype).expand(20, -1))


def test_progress_counts_every_example(device, dtype, generator):
    model = tiny_made(ordering="agnostic", schedule_options={"num_orderings": 3}).to(device, dtype)
    done = []
    model.sample(25, generator=generator, batch_size=4, progress=done.append)
    assert sum(done) == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": -1}, "num_samples must be >= 0"),
        ({"num_samples": 1, "temperature": 0.0}, "temperature must be > 0"),
        ({"num_samples": 1, "batch_size": 0}, "batch_size must be >= 1"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_made().sample(**options)


def test_no_samples_is_an_empty_answer():
    assert tiny_made().sample(0).shape == (0, 8)


ECHOING = (
    Variable("fee", Kind.REAL, echoes=(-1.0, 0.5, 4.0), echo_counts=(6, 3, 1), resolution=0.1),
    Variable("days", Kind.INTEGER, 30, atoms=(7.0,), echoes=(0.0, 9.0), echo_counts=(4, 2)),
)


@pytest.mark.gpu
def test_draws_of_every_kind_of_column_are_recorded_and_those_of_the_cpu(device, generator):
    model = tiny_made((*ODD, *ECHOING)).double().eval()
    uniforms = torch.rand(
        500, sum(model.groups.uniform_widths), generator=generator, dtype=torch.float64
    )
    drawn = []
    for where in (torch.device("cpu"), device):
        sampler = IncrementalSampler(build_plan(model.to(where).component(0), panel=3))
        for _ in range(2):
            found = sampler.draw(Request(uniforms.to(where)))
        drawn.append(found.cpu())
    assert sampler._space.graph is not None
    torch.testing.assert_close(drawn[1], drawn[0])
