"""Probabilities of random range queries: their error against counting the table, and their time."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import report
from benchmarks.measure import machine
from made_exp.density.diagram import Diagram
from made_exp.density.events import Events, last_digit
from made_exp.density.formula import Formula, join, leaf, variables_of
from made_exp.density.mixture import Effort, in_order
from made_exp.density.probability import probability_of
from made_exp.experiments.finished import FinishedRun
from made_exp.model.made import MADE
from made_exp.variables.subset import Subset

MANY = 100  # rows from which an error counts
FULL = "D full passes of the network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `scripts/benchmark queries`."""
    report.add_common_arguments(parser)
    parser.add_argument("--run", required=True, help="folder of a run on a table, or binary rows")
    parser.add_argument("--queries", type=int, default=500, help="how many (500)")
    parser.add_argument("--paths", type=int, default=1000, help="paths of a query (1000)")
    parser.add_argument("--columns", type=int, nargs=2, default=(2, 6), metavar=("LEAST", "MOST"),
                        help="columns of a query (2 6)")  # fmt: skip


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ask every query; returns what is written as JSON."""
    report.prepare(arguments)
    finished = FinishedRun(arguments.run, arguments.device)
    made = getattr(finished.model, "made", finished.model)
    events, dataset = Events(finished.schema), finished.dataset
    x = torch.cat([dataset.train, dataset.valid, dataset.test]).double()
    count = 20 if arguments.quick else arguments.queries
    formulas = random_queries(x, events, count, tuple(arguments.columns))
    wanted, counting = zip(*(_counted(x, formula, events) for formula in formulas), strict=True)
    rows, size = np.array(wanted), len(x)

    def ours(formula: Formula, keeps: bool) -> float:
        effort = Effort(arguments.paths, 0, keeps=keeps)
        return float(probability_of(made, events, formula, True, effort))

    def passes(formula: Formula, every: bool) -> float:
        return plain_progressive(made, events, formula, arguments.paths, every=every)

    records = [{"name": "counting the table", **_times(np.array(counting), np.array(counting))}]
    slow = formulas[: max(10, count // 10)]
    for name, answer, asked in (
        ("ours", lambda f: ours(f, True), formulas),
        ("ours, without rows that are kept", lambda f: ours(f, False), formulas),
        ("plain progressive sampling: a pass a column", lambda f: passes(f, False), slow),
        (FULL, lambda f: passes(f, True), slow),
    ):
        found, wall, cpu = _asked(answer, asked)
        records.append(
            {"name": name, **_errors(found, rows[: len(asked)], size), **_times(wall, cpu)}
        )
    _, wall, cpu = _asked(lambda _: _pass(made, arguments.paths), slow)
    records.append({"name": f"one forward pass of {arguments.paths} rows", **_times(wall, cpu)})
    _print(records, f"{Path(arguments.run).name}: {count} queries, {size} rows")
    return {"machine": machine(torch.device(arguments.device)), "records": records}


def random_queries(
    x: Tensor, events: Events, count: int, columns: tuple[int, int]
) -> list[Formula]:
    """Ranges of numbers and values of others around random rows x (N, D), all true of a row."""
    rng, found = np.random.default_rng(0), list[Formula]()
    while len(found) < count:
        row = x[int(rng.integers(len(x)))]
        most = min(columns[1], x.shape[1])
        chosen = rng.choice(x.shape[1], int(rng.integers(min(columns[0], most), most + 1)), False)
        leaves = [leaf(d, _around(events, d, float(row[d]), rng), events.domains) for d in chosen]
        formula = join(True, leaves, events.domains)
        if not isinstance(formula, bool):
            found.append(formula)
    return found


def _around(events: Events, d: int, value: float, rng: np.random.Generator) -> Subset:
    variable = events.variables[d]
    if np.isnan(value):
        return Subset(missing=True)
    if not variable.is_number:
        return Subset.of_codes([int(value)])
    half = (last_digit(variable) or 1e-6) / 2
    low, high = (value - half, np.inf), (-np.inf, value + half)
    return Subset.of([low, high][int(rng.integers(2)) :][:1])


def _counted(x: Tensor, formula: Formula, events: Events) -> tuple[int, float]:
    """Rows of which a formula is true, and seconds that a scan of its columns took."""
    start = time.perf_counter()
    inside = Diagram.of(formula, range(x.shape[1]), events.domains).contains(x)
    return int(inside.sum()), time.perf_counter() - start


def _asked(
    answer: Callable[[Formula], float], formulas: list[Formula]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers, and seconds of the wall clock and of the processor that each took."""
    answer(formulas[0])
    found = []
    for formula in formulas:
        start, used = time.perf_counter(), time.process_time()
        value = answer(formula)
        found.append((value, time.perf_counter() - start, time.process_time() - used))
    values, wall, cpu = np.array(found).T
    return values, wall, cpu


@torch.no_grad()
def plain_progressive(
    made: MADE, events: Events, formula: Formula, count: int, *, every: bool
) -> float:
    """Progressive sampling as people write it: the whole network for each column in turn.

    Up to the last column that is asked, or for every one; of the first network alone.
    """
    asked = variables_of(formula)
    component = in_order(made.component(0), frozenset(), asked, ())
    order = component.masks.ordering.tolist()
    diagram = Diagram.of(formula, order, events.domains)
    last = max(order.index(d) for d in asked)
    codes, groups = made.groups.empty_codes(count).zero_(), made.groups
    weights = torch.ones(count, dtype=torch.float64)
    for d in order if every else order[: last + 1]:
        params = component.params(groups.features(codes))
        start = groups.param_starts[d]
        own, uniforms = params[:, start : start + groups.param_widths[d]], torch.rand(count, 2)
        conditional = groups.conditional(d)
        if d in asked:
            subset = diagram.by_variable[d].subsets
            mass, drawn = conditional.restricted(subset, made.device).draw(own, uniforms)
            weights *= mass
        else:
            drawn = conditional.sample(own, uniforms[:, : conditional.num_uniforms])
        codes[:, d] = drawn
    return float(weights.mean())


@torch.no_grad()
def _pass(made: MADE, count: int) -> float:
    component = made.component(0)
    codes = made.groups.empty_codes(count).zero_()
    return float(component.params(made.groups.features(codes))[0, 0])


def _errors(found: np.ndarray, rows: np.ndarray, size: int) -> dict[str, Any]:
    """Q-errors: the larger of estimate and truth by the smaller, at least one row each."""
    estimates, truth = np.maximum(found * size, 1), np.maximum(rows, 1)
    errors = np.maximum(estimates / truth, truth / estimates)
    many = errors[rows >= MANY]
    kinds = {"q_error": many, "q_error_all": errors}
    return {"num_queries": len(rows), f"num_of_{MANY}_rows": len(many)} | {
        f"{kind}_{name}": float(np.quantile(own, level)) if len(own) else None
        for kind, own in kinds.items()
        for name, level in (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    }


def _times(wall: np.ndarray, cpu: np.ndarray) -> dict[str, float]:
    return {
        "milliseconds": 1e3 * float(np.median(wall)),
        "milliseconds_p95": 1e3 * float(np.quantile(wall, 0.95)),
        "cpu_milliseconds": 1e3 * float(np.median(cpu)),
    }


def _print(records: list[dict[str, Any]], title: str) -> None:
    print(f"\n{title} (q-error of queries of at least {MANY} rows)")
    print(f"{'':46} {'ms':>8} {'cpu ms':>8} {'median':>8} {'95 %':>8} {'99 %':>8} {'max':>8}")
    for record in records:
        errors = [record.get(f"q_error_{name}") for name in ("median", "p95", "p99", "max")]
        shown = " ".join(f"{error:8.3f}" if error else " " * 8 for error in errors)
        times = f"{record['milliseconds']:8.2f} {record['cpu_milliseconds']:8.2f}"
        print(f"{record['name']:46} {times} {shown}".rstrip())


def plot(records: list[dict[str, Any]], path: Path) -> Path | None:
    """No picture: the table says it."""
    return None
