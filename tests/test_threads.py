"""Many threads ask one model at once, and each gets the answers of one that asks alone."""

import sys
import threading

import numpy as np
import polars as pl
import pytest
from builders import tiny_made
from test_density import people

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density.density import Density

KINDS = 6


def fresh_model(ordering):
    """A model that has not been asked anything: its samplers are yet to be made."""
    schema = fit_table(raw_table(people(60)), {"train": np.arange(50)}).schema
    options = {"ordering": ordering, "schedule_options": {"num_orderings": 3}}
    return Density(tiny_made(schema.variables, **options), schema)


def ask(model, number, completes):
    """Request `number` (>= 0), and its answer as bytes."""
    rows = people(60) if completes else people(60).drop_nulls()
    rows = rows[number % 7 : number % 7 + 5]
    match number % KINDS:
        case 0:
            return model.sample(4, seed=number, codes=True).numpy().tobytes()
        case 1 if completes:
            emptied = pl.when(pl.col("age") > 30).then("age")
            return model.complete(rows.with_columns(age=emptied), seed=number).write_json()
        case 2 if completes:
            return model.predict_proba(rows, target="town").to_numpy().tobytes()
        case 3:
            given = f"age < {30 + number % 25}" if completes else None
            found = model.probability("town = Bern", given, num_samples=200, seed=number)
            return found.value, found.stderr
        case 4:
            return model.surprise(rows).write_json()
    return model.log_prob(rows).tobytes()


@pytest.mark.parametrize(
    ("threads", "requests"), [(8, 10), pytest.param(64, 100, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("ordering", ["agnostic", "ensemble"])
def test_answers_do_not_depend_on_what_other_threads_ask(ordering, threads, requests):
    completes = ordering == "agnostic"
    alone = [ask(fresh_model(ordering), number, completes) for number in range(requests)]
    model, start, answers = fresh_model(ordering), threading.Barrier(threads), {}

    def work(first):
        start.wait()
        order = [(first + number) % requests for number in range(requests)]
        answers[first] = {number: ask(model, number, completes) for number in order}

    switches = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(switches)
    assert len(answers) == threads, "a thread has failed"
    for found in answers.values():
        assert found == dict(enumerate(alone))
