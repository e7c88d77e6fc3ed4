"""One masked layer, forward and backward: every backend against the plain product."""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import report
from benchmarks.measure import alternate, ceilings, machine, median
from made_exp.kernels import masked_linear
from made_exp.kernels.backends import triton_is_usable
from made_exp.model.layers import MaskedLinear

SIZES = ["500", "2000", "8000", "2000@1000", "8000@1000"]
QUICK_SIZES = ["500"]
PLAIN = "plain weight * mask"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `scripts/benchmark kernels`."""
    report.add_common_arguments(parser)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every size; returns what is written as JSON."""
    device = report.prepare(arguments)
    named = arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES)
    sizes = {name: report.parse_size(name) for name in named}
    limits = ceilings(device, arguments.precision, quick=arguments.quick)
    records: list[dict[str, Any]] = []
    for hidden, batch in sizes.values():
        found = _measure(arguments, device, limits, hidden[-1], batch)
        title = f"layer {arguments.dims} to {hidden[-1]}, batch={batch}, forward and backward"
        report.print_table(found, title=title)
        records += found
    return {"machine": machine(device), "ceilings": limits, "records": records}


def _measure(
    arguments: argparse.Namespace,
    device: torch.device,
    limits: dict[str, float],
    num_out: int,
    batch: int,
) -> list[dict[str, Any]]:
    num_in = arguments.dims
    ins = torch.arange(1, num_in + 1)
    outs = torch.arange(num_out) * (num_in - 1) // num_out + 1
    calls = _calls(ins, outs, batch, device, arguments.precision)
    timings = alternate(calls, device, rounds=3 if arguments.quick else arguments.rounds)
    visible = int((outs[:, None] >= ins).sum())
    bounds = {
        "arithmetic_bound": 6 * batch * visible / limits["matrix_flops_per_second"],
        "traffic_bound": 3 * 4 * visible / limits["copy_bytes_per_second"],
    }
    reference = median(timings[PLAIN])
    return [
        {
            "num_dims": num_in,
            "hidden_sizes": [num_out],
            "batch_size": batch,
            "precision": arguments.precision,
            "name": name,
            "milliseconds": 1e3 * median(seconds),
            "fastest_milliseconds": 1e3 * min(seconds),
            "times_faster": reference / median(seconds),
            "fraction_of_limit": max(bounds.values()) / median(seconds),
            **bounds,
        }
        for name, seconds in timings.items()
    ]


def _calls(
    ins: Tensor, outs: Tensor, batch: int, device: torch.device, precision: str
) -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(len(outs), len(ins), generator=generator).to(device).requires_grad_()
    bias = torch.zeros(len(outs), device=device, requires_grad=True)
    x = torch.randn(batch, len(ins), generator=generator).to(device).requires_grad_()
    ins, outs = ins.to(device), outs.to(device)
    shuffled = ins[torch.randperm(len(ins), generator=generator).to(device)]
    mask = (outs[:, None] >= ins).float()
    backends = ["dense", "staircase"]
    if device.type == "cuda" and triton_is_usable(device):
        backends.append("triton")
    layers = {
        name: MaskedLinear(len(ins), len(outs), degrees=(ins.cpu(), outs.cpu()), backend=name).to(
            device
        )
        for name in backends
    }
    forwards: dict[str, Callable[[], Tensor]] = {
        PLAIN: lambda: nn.functional.linear(x, weight * mask, bias)
    }
    for name, layer in layers.items():
        forwards[f"fixed, {name}"] = lambda layer=layer: layer(x)
    for name in backends[:1] + backends[2:]:  # there, staircase is dense
        forwards[f"resampled, {name}"] = lambda name=name: masked_linear(
            x, weight, bias, shuffled, outs, backend=name
        )
    leaves = [x, weight, bias, *(p for layer in layers.values() for p in layer.parameters())]
    ramp = torch.linspace(-1, 1, batch * len(outs), device=device).view(batch, -1)

    def both(forward: Callable[[], Tensor]) -> Callable[[], object]:
        def call() -> None:
            for leaf in leaves:
                leaf.grad = None
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                y = forward()
            y.backward(ramp.to(y.dtype))

        return call

    return {name: both(forward) for name, forward in forwards.items()}
