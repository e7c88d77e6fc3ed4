"""What can be asked of a trained density: tensors, frames and arrays, in and out."""

import numpy as np
import polars as pl
import pytest
import torch
from builders import tiny_made

from made_exp.datasets.table.frames import raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density.density import Density
from made_exp.density.entry import numbers_of


def people(count=200):
    """Columns of several types, some cells empty."""
    source = np.random.default_rng(0)
    towns = np.array(["Bern", "Wien", None])
    return pl.DataFrame(
        {
            "town": towns[source.choice(3, count, p=[0.5, 0.4, 0.1])],
            "age": source.integers(20, 60, count),
            "wage": source.normal(3000, 500, count).round(2),
            "member": source.random(count) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def density():
    schema = fit_table(raw_table(people()), {"train": np.arange(150)}).schema
    options = {"num_orderings": 3}
    made = tiny_made(schema.variables, ordering="agnostic", schedule_options=options)
    return Density(made, schema)


def test_frames_and_the_tensors_they_stand_for_have_one_likelihood(density):
    frame = people(20)
    x = numbers_of(frame, density.schema)
    assert torch.isnan(x).any()
    of_tensor, of_frame = density.log_prob(x), density.log_prob(frame)
    assert isinstance(of_tensor, torch.Tensor)
    assert of_frame.dtype == np.float64
    assert np.array_equal(of_frame, of_tensor.double().numpy())
    assert torch.equal(of_tensor, density.made.log_prob(x))
    assert np.array_equal(density.log_prob(frame.select("member", "age", "wage", "town")), of_frame)


def test_without_a_table_arrays_are_taken_as_they_are():
    made = tiny_made()
    x = np.eye(8, dtype=np.uint8)
    assert np.array_equal(Density(made).log_prob(x), made.log_prob(x).double().numpy())
    with pytest.raises(ValueError, match="the model is of no table"):
        Density(made).log_prob(people())
