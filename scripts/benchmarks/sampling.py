"""Time to draw a batch: one incremental pass, D full passes, and peers from PyPI.

The full passes are those of our own model as a bare network: weights multiplied by their masks
once, in advance, and nothing but matrix products, activations and one draw in each pass.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import report
from benchmarks.measure import ceilings, machine, median, time_calls
from made_exp.model.build import build_made
from made_exp.model.made import MADE
from made_exp.model.member_schedules import make_schedules
from made_exp.model.request import Request
from made_exp.model.sampling import IncrementalSampler
from made_exp.model.sampling_plan import build_plan
from made_exp.settings.model import MadeSettings
from made_exp.settings.ordering import OrderingSettings
from made_exp.variables.variable import Kind, Variable, binary_variables

SIZES = ["500", "500x500", "2000x2000", "8000"]
QUICK_SIZES = ["64", "128x128"]
WIDTHS = [64, 250, 1000, 4000]
SLOW_SECONDS = 2.0
DIMS = [64, 128, 256, 512, 1024, 2048, 3072]
OURS, PASSES, FORWARD = "made-exp, one pass", "D full passes", "one forward pass"
GAUSSIAN = "made-exp, Gaussian"

Draw = Callable[[], Tensor]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `scripts/benchmark sampling`."""
    report.add_common_arguments(parser)
    parser.add_argument("--no-growth", action="store_true", help="leave out growth with D, width")
    parser.add_argument("--no-peers", action="store_true", help="leave out zuko and nflows")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every size; returns what is written as JSON."""
    device = report.prepare(arguments)
    rounds = 3 if arguments.quick else arguments.rounds
    dims = 64 if arguments.quick else arguments.dims
    records: list[dict[str, Any]] = []
    for size in arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES):
        hidden, batch = report.parse_size(size)
        found = measure(dims, hidden, batch, device, rounds, peers=not arguments.no_peers)
        report.print_table(found, title=f"sampling, D={dims} hidden={size} batch={batch}")
        records += found
    if not (arguments.quick or arguments.no_growth):
        records += growth(device, arguments.rounds)
    request = many_samples(dims, (500, 500), device)
    print(f"\n10000 samples of (500, 500), D={dims}: {request['seconds']:.2f} s")
    result = {"machine": machine(device), "records": records, "request": request}
    if device.type == "cuda":
        result["large_request"] = large_request(device)
    return result


def plot(records: list[dict[str, Any]], path: Path) -> Path | None:
    """Cost against D and against the width."""
    with_dims = [r for r in records if r.get("kind") == "growth with D"]
    with_width = [r for r in records if r.get("kind") == "growth with width"]
    return report.save_panels(
        [
            ("variables D (500 units, batch 100)", lambda r: r["num_dims"], with_dims),
            ("width (D = 784, batch 100)", report.width, with_width),
        ],
        path,
    )


def measure(
    dims: int,
    hidden: tuple[int, ...],
    batch: int,
    device: torch.device,
    rounds: int,
    *,
    peers: bool,
) -> list[dict[str, Any]]:
    """Records of all candidates at one size, the candidates taking turns."""
    model = _model(binary_variables(dims), hidden, device)
    uniforms = torch.rand(batch, dims, device=device)
    sampler = IncrementalSampler(build_plan(model.component(0)))
    bare = _bare_network(model)
    candidates: dict[str, Draw] = {
        PASSES: lambda: _full_passes(bare, model, uniforms),
        OURS: lambda: sampler.draw(Request(uniforms)),
        FORWARD: lambda: bare(uniforms),
    }
    refused: dict[str, str] = {}
    if peers:
        candidates[GAUSSIAN] = _gaussian(dims, hidden, batch, device)
        for name, build in (("zuko MAF", _zuko), ("nflows MAF", _nflows)):
            try:
                candidates[name] = build(dims, hidden, batch, device)
            except (ImportError, ValueError) as error:
                refused[name] = str(error).splitlines()[0]
    timings = _alternate(candidates, device, rounds)
    size = {"num_dims": dims, "hidden_sizes": list(hidden), "batch_size": batch}
    reference = median(timings[PASSES])
    found = [
        size
        | {
            "name": name,
            "milliseconds": 1e3 * median(seconds),
            "fastest_milliseconds": 1e3 * min(seconds),
            "times_faster": reference / median(seconds),
        }
        for name, seconds in timings.items()
    ]
    return found + [size | {"name": name, "refused": why} for name, why in refused.items()]


def growth(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Ours and one forward pass as D grows (500 units) and as the width grows (D = 784)."""
    records = []
    cases = [(dims, (500,), "growth with D") for dims in DIMS]
    cases += [(784, (width,), "growth with width") for width in WIDTHS]
    for dims, hidden, kind in cases:
        model = _model(binary_variables(dims), hidden, device)
        sampler = IncrementalSampler(build_plan(model.component(0)))
        bare, uniforms = _bare_network(model), torch.rand(100, dims, device=device)
        timings = _alternate(
            {
                OURS: lambda s=sampler, u=uniforms: s.draw(Request(u)),
                FORWARD: lambda b=bare, u=uniforms: b(u),
            },
            device,
            rounds,
        )
        for name, seconds in timings.items():
            records.append(
                {
                    "name": name,
                    "kind": kind,
                    "num_dims": dims,
                    "hidden_sizes": list(hidden),
                    "batch_size": 100,
                    "milliseconds": 1e3 * median(seconds),
                }
            )
    report.print_table(
        [r | {"name": f"{r['name']}, D={r['num_dims']}, {r['hidden_sizes']}"} for r in records],
        title="growth, batch 100",
    )
    return records


def many_samples(dims: int, hidden: tuple[int, ...], device: torch.device) -> dict[str, Any]:
    """Seconds of one request for 10000 samples, weights prepared anew."""
    model = _model(binary_variables(dims), hidden, device)
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    model.sample(10_000, generator=generator)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    return {"num_samples": 10_000, "hidden_sizes": list(hidden), "seconds": seconds}


def large_request(device: torch.device) -> dict[str, Any]:
    """10000 samples of (8000, 8000), D = 784, beside the time that its traffic takes at least.

    Each step reads the activations and weights of its panel, each panel all earlier ones once;
    the bound counts every activation read once by each later panel, and every weight once a batch.
    """
    dims, hidden, count, batch = 784, (8000, 8000), 10_000, 2500
    model = _model(binary_variables(dims), hidden, device)
    generator = torch.Generator().manual_seed(0)
    model.sample(batch, generator=generator, batch_size=batch)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    model.sample(count, generator=generator, batch_size=batch)
    torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    plan = build_plan(model.component(0))
    panels = -(-dims // plan.panel)
    units = dims + sum(hidden)
    weights = dims * hidden[0] + hidden[0] * hidden[1] + hidden[1] * dims
    moved = 4 * (count * units * panels / 2 + weights / 2 * count / batch)
    bound = moved / ceilings(device, "fp32")["copy_bytes_per_second"]
    print(f"10000 samples of {hidden}: {seconds:.2f} s, bandwidth bound {bound:.2f} s")
    return {"hidden_sizes": list(hidden), "seconds": seconds, "bandwidth_bound_seconds": bound}


def _model(variables: tuple[Variable, ...], hidden: tuple[int, ...], device: torch.device) -> MADE:
    settings = MadeSettings(
        hidden_sizes=list(hidden), dropout=0.0, direct_connections=False, num_components=1
    )
    schedules = make_schedules(OrderingSettings("natural"), settings, len(variables))
    generator = torch.Generator().manual_seed(0)
    return build_made(variables, schedules, settings, generator=generator).eval().to(device)


def _bare_network(model: MADE) -> nn.Sequential:
    """The network of `model` as plain linear layers, masks multiplied in."""
    layers: list[nn.Module] = []
    for layer in model.members[0].hidden:
        layers += [_linear(layer.masked_weight(), layer.bias), nn.ReLU()]
    assert model.members[0].output is not None
    layers.append(_linear(model.members[0].output.masked_weight(), model.members[0].output_bias))
    return nn.Sequential(*layers).requires_grad_(False)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
    return linear


@torch.inference_mode()
def _full_passes(network: nn.Module, model: MADE, uniforms: Tensor) -> Tensor:
    """D passes, each drawing one variable: how everyone samples."""
    x = torch.zeros_like(uniforms)
    for variable in model.component(0).masks.ordering.tolist():
        logits = network(x)[:, variable]
        x[:, variable] = (uniforms[:, variable] < torch.sigmoid(logits)).to(x.dtype)
    return x


def _gaussian(dims: int, hidden: tuple[int, ...], batch: int, device: torch.device) -> Draw:
    """Ours with one Gaussian for each variable, what the peers' affine flows amount to."""
    model = _model(tuple(Variable(f"x{d}", Kind.REAL) for d in range(dims)), hidden, device)
    sampler = IncrementalSampler(build_plan(model.component(0)))
    uniforms = torch.rand(batch, sum(model.groups.uniform_widths), device=device)
    return lambda: sampler.draw(Request(uniforms))


def _zuko(dims: int, hidden: tuple[int, ...], batch: int, device: torch.device) -> Draw:
    import zuko

    flow = zuko.flows.MAF(dims, transforms=1, hidden_features=hidden).to(device)

    @torch.no_grad()
    def draw() -> Tensor:
        return flow().sample((batch,))

    return draw


def _nflows(dims: int, hidden: tuple[int, ...], batch: int, device: torch.device) -> Draw:
    from nflows.transforms.autoregressive import MaskedAffineAutoregressiveTransform

    if len(set(hidden)) > 1 or len(hidden) > 2:
        raise ValueError("takes one or two hidden layers of one size")
    # One hidden layer is its input layer; a block adds a second of the same size.
    transform = MaskedAffineAutoregressiveTransform(
        dims,
        hidden[0],
        num_blocks=len(hidden) - 1,
        use_residual_blocks=False,
        activation=torch.relu,
    ).to(device)

    @torch.no_grad()
    def draw() -> Tensor:
        return transform.inverse(torch.randn(batch, dims, device=device))[0]

    return draw


def _alternate(
    candidates: dict[str, Draw], device: torch.device, rounds: int
) -> dict[str, list[float]]:
    """Seconds per draw, once a round, in turns, after one draw each to warm up.

    A draw that takes seconds needs no warming up, and two of it are enough.
    """
    seconds = {name: [time_calls(call, 1, device)] for name, call in candidates.items()}
    slow = {name for name, (once,) in seconds.items() if once > SLOW_SECONDS}
    for name in candidates.keys() - slow:
        seconds[name].clear()
    for number in range(rounds):
        for name, call in candidates.items():
            if name in slow and number > 0:
                continue
            once = time_calls(call, 1, device)
            count = min(20, int(0.2 / once))
            seconds[name].append(time_calls(call, count, device) if count > 1 else once)
    return seconds
