"""What can be asked of a trained density: tensors, frames and arrays, in and out."""

import multiprocessing
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from builders import all_binary, tiny_made

from made_exp.datasets.table.frames import column_names, raw_table
from made_exp.datasets.table.schema import fit_table
from made_exp.density import classes
from made_exp.density.density import Density
from made_exp.density.entry import numbers_of
from made_exp.model.component import Component


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


def test_what_is_printed_of_a_density_is_one_line(density):
    assert repr(density) == ("Density(4 columns of a table: town, age, wage, member; orderings: 3)")
    assert repr(Density(tiny_made())).startswith("Density(8 variables: ")


def test_without_a_table_arrays_are_taken_as_they_are():
    made = tiny_made()
    x = np.eye(8, dtype=np.uint8)
    assert np.array_equal(Density(made).log_prob(x), made.log_prob(x).double().numpy())
    with pytest.raises(ValueError, match="the model is of no table"):
        Density(made).log_prob(people())


FRAMES = {
    "polars": lambda frame: frame,
    "pandas": lambda frame: pd.DataFrame(frame.to_dict(as_series=False), index=labels(frame)),
    "pyarrow": lambda frame: frame.to_arrow(),
}


def labels(frame):
    return [f"r{number}" for number in range(len(frame))]


@pytest.fixture(params=FRAMES.values(), ids=FRAMES.keys())
def convert(request):
    return request.param


def test_samples_are_frames_as_those_given(density, convert):
    given = convert(people())
    model = Density(density.made, density.schema, given)
    drawn = model.sample(50, seed=1)
    assert type(drawn) is type(given)
    assert types(drawn) == types(given)
    codes = model.sample(50, seed=1, codes=True)
    assert torch.equal(codes, density.made.sample(50, generator=torch.Generator().manual_seed(1)))
    again = model.encode(drawn)
    discrete = [0, 1, 3]
    assert torch.equal(again[:, discrete], codes[:, discrete])
    assert len(model.sample(0)) == 0


def types(frame):
    if isinstance(frame, pl.DataFrame):
        return frame.schema
    return dict(frame.dtypes) if isinstance(frame, pd.DataFrame) else frame.schema


def test_types_are_of_the_columns_whatever_is_drawn(density):
    x = torch.tensor([[0, 3, 3000.0, 1], [1, 4, 2999.0, 0]], dtype=torch.float64)
    wanted = [pl.String, pl.Int64, pl.Float64, pl.Boolean]
    for rows in (x, x[:1], x[:0], x + torch.tensor([0, 0, 0.25, 0])):
        assert Density(density.made, density.schema, "polars").decode(rows).dtypes == wanted
    frame = Density(density.made, density.schema, "pandas").decode(x)
    assert frame.dtypes.iloc[1:].tolist() == ["int64", "float64", "bool"]


def test_cells_around_draws_do_not_make_these_whole_numbers_or_texts(density, convert):
    content = {"town": "Bern", "age": [40, 40], "wage": [3000, None], "member": True}
    given = convert(pl.DataFrame(content).with_columns(wage=pl.col("wage").cast(pl.Int64)))
    wages = pl.Series(density.complete(given, seed=0)["wage"])
    drawn = wages[1]
    assert wages.dtype == pl.Float64
    assert wages[0] == 3000
    assert drawn == round(drawn, 2) != round(drawn)
    empty = pl.DataFrame({**content, "age": None, "wage": None})
    assert density.complete(empty, seed=0).dtypes == [pl.String, pl.Int64, pl.Float64, pl.Boolean]


def test_empty_cells_are_drawn_and_others_come_back_as_they_were(density, convert):
    frame = people(30).with_columns(age=pl.when(pl.col("age") > 25).then("age"))
    given = convert(frame)
    filled = density.complete(given, seed=0)
    assert types(filled) == types(given)
    if isinstance(given, pd.DataFrame):
        assert list(filled.index) == labels(frame)
    filled = pl.DataFrame(filled.to_pydict() if convert is FRAMES["pyarrow"] else filled)
    for name in frame.columns:
        is_given = frame[name].is_not_null()
        assert filled[name].null_count() == 0
        assert filled[name].filter(is_given).to_list() == frame[name].filter(is_given).to_list()


def test_completions_of_a_row_follow_each_other(density):
    frame = people(3).with_columns(town=pl.lit(None, pl.String))
    filled = density.complete(frame, num_samples=40, seed=0)
    assert filled["age"].to_list() == [a for a in frame["age"] for _ in range(40)]
    assert set(filled["town"]) == {"Bern", "Wien"}
    assert filled.equals(density.complete(frame, num_samples=40, seed=0))


def test_probabilities_of_classes_are_those_of_completions(density):
    frame = people(4).drop("town")
    proba = density.predict_proba(frame, target="town")
    assert proba.columns == ["Bern", "Wien"]
    assert np.allclose(proba.sum_horizontal(), 1)
    counts = density.complete(
        frame.with_columns(town=pl.lit(None, pl.String)), num_samples=3000, seed=0
    )["town"].to_numpy()
    shares = (counts.reshape(4, 3000) == "Bern").mean(1)
    assert shares == pytest.approx(proba["Bern"].to_numpy(), abs=0.04)


def test_several_columns_are_predicted_together(density):
    made = tiny_made(density.schema.variables, ordering="natural")
    model = Density(made, density.schema)
    frame = people(3).with_columns(town=pl.lit("Bern"))
    both = model.predict_proba(frame, target=["member", "town"])
    assert both.columns[:2] == ["member=false, town=Bern", "member=false, town=Wien"]
    pairs = [(member, town) for member in (False, True) for town in ("Bern", "Wien")]
    joint = [
        model.log_prob(frame.with_columns(member=pl.lit(member), town=pl.lit(town)))
        for member, town in pairs
    ]
    expected = np.exp(joint) / np.exp(joint).sum(0)
    assert pytest.approx(expected, rel=1e-4) == both.to_numpy().T
    x = model.encode(frame)
    kept = x.clone()
    found = model.predict_proba(x, target=["member", "town"])
    assert np.allclose(found, both)
    assert torch.equal(x, kept)  # what is asked of a tensor leaves it as it was


def test_rows_that_lack_different_cells_are_answered_together_as_alone(density, monkeypatch):
    frame = people(8).with_columns(
        member=pl.Series([None, True, None, False, True, None, False, True]),
        town=pl.Series(["Bern", None, None, "Wien", "Bern", "Wien", None, "Bern"]),
    )
    together = density.predict_proba(frame, target="age").to_numpy()
    alone = [density.predict_proba(frame[row], target="age").to_numpy() for row in range(8)]
    assert np.allclose(together, np.concatenate(alone), rtol=1e-4)
    monkeypatch.setattr(classes, "_is_last", lambda *arguments: False)
    assert np.allclose(density.predict_proba(frame, target="age"), together, rtol=1e-4)


@pytest.mark.parametrize("ordering", ["agnostic", "natural", "reversed"])
def test_values_of_a_column_take_one_pass_and_are_as_scored_one_by_one(
    density, ordering, monkeypatch
):
    """Where no known column comes after it: in any order, or the last one of a fixed order."""
    frame, target = people(7).drop("age"), "age"
    if ordering != "agnostic":
        made = tiny_made(density.schema.variables, ordering=ordering)
        density = Density(made, density.schema)
        target = density.schema.modelled[0 if ordering == "reversed" else -1].name
        frame = people(30).drop_nulls()
    calls, conditionals = [], Component.conditionals

    def counted(*arguments):
        calls.append(arguments)
        return conditionals(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Component, "conditionals", counted)
        found = density.predict_proba(frame, target=target)
    num_parts = 1 + (frame["town"].null_count() > 0)
    assert len(calls) == num_parts * density.num_orderings
    monkeypatch.setattr(classes, "_is_last", lambda *arguments: False)
    for rows in (1, 30, 1000):
        monkeypatch.setattr(classes, "_ROWS", rows)
        assert np.allclose(density.predict_proba(frame, target=target), found, rtol=1e-4)


def test_surprises_add_up_and_have_the_index_of_the_frame(density):
    frame = people(6)
    own = density.surprise(FRAMES["pandas"](frame))
    assert list(own.index) == labels(frame)
    assert list(own.columns) == frame.columns
    assert own.sum(axis=1).to_numpy() == pytest.approx(-density.log_prob(frame), rel=1e-5)
    others = density.surprise(frame, given="others")
    member = density.predict_proba(frame, target="member")
    expected = np.where(frame["member"], -np.log(member["true"]), -np.log(member["false"]))
    assert others["member"].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_forked_processes_share_the_weights(density):
    x = density.encode(people(500))
    expected = density.log_prob(x), density.sample(5, seed=0, codes=True)
    density.share_memory()
    assert all(parameter.is_shared() for parameter in density.parameters())
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def answer():
        answers.put((density.log_prob(x).numpy(), density.sample(5, seed=0, codes=True).numpy()))
        try:
            density.log_prob(people(3))
        except RuntimeError as error:  # instead of waiting for threads of polars for ever
            answers.put(str(error))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        process = context.Process(target=answer)
        process.start()
    log_prob, sample = answers.get(timeout=60)
    assert np.array_equal(log_prob, expected[0].numpy())
    assert np.array_equal(sample, expected[1].numpy(), equal_nan=True)
    assert "start processes with spawn" in answers.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0


def test_columns_that_lack_are_drawn_and_said(density, convert, caplog):
    frame = people(5)
    done = density.complete(convert(frame.select("wage", "town")), seed=0)
    assert column_names(done) == ["wage", "town", "age", "member"]
    same = density.complete(convert(frame.with_columns(age=None, member=None)), seed=0)
    for name in ("wage", "age", "member"):
        values, others = (pl.Series(one[name]).to_list() for one in (done, same))
        assert values == others
    assert str(raw_table(done).column("age").stored) == "Int64"
    assert "lacks columns that the table has, which are drawn: age, member" in caplog.text


def test_columns_that_the_model_does_not_know_are_no_part_of_it_and_said(density, caplog):
    frame = people(5)
    more = frame.select(pl.lit(1).alias("x"), pl.all())
    assert np.array_equal(density.log_prob(more), density.log_prob(frame))
    assert "columns that the model does not know are left out: x" in caplog.text
    caplog.clear()
    done = density.complete(more, seed=0)
    assert done.columns == more.columns
    assert done["x"].to_list() == [1] * 5
    assert done.drop("x").equals(density.complete(frame, seed=0))
    assert "columns that the model does not know are kept as they are: x" in caplog.text
    assert "left out" not in caplog.text
    twice = pd.concat([frame.to_pandas(), frame.to_pandas()[["age"]] + 1], axis=1)
    assert np.array_equal(density.log_prob(twice), density.log_prob(frame))
    assert "age_2 (so a second 'age' is called)" in caplog.text
    schema = fit_table(raw_table(frame.to_numpy()), {"train": np.arange(5)}).schema
    with pytest.raises(ValueError, match="the array has unknown column 'x4'"):
        schema.encode(raw_table(more.to_numpy()))


def test_missing_cells_of_arrays_can_be_those_of_pandas(density):
    frame = people(5)
    cells = frame.to_numpy().astype(object)
    cells[:3, 0] = cells[3:, 2] = None
    schema = fit_table(raw_table(frame.to_numpy()), {"train": np.arange(5)}).schema
    other = np.where([[value is None for value in row] for row in cells], pd.NA, cells)
    assert np.array_equal(
        schema.encode(raw_table(other)), schema.encode(raw_table(cells)), equal_nan=True
    )


def test_a_fraction_among_whole_numbers_counts_as_the_nearest(density, caplog):
    frame = people(3)
    ages = frame["age"].cast(pl.Float64)
    odd = frame.with_columns(age=ages.set(pl.Series([False, True, False]), ages[1] + 0.25))
    assert np.array_equal(density.log_prob(odd), density.log_prob(frame))
    assert f"row 1, column 'age': '{ages[1] + 0.25}' is not a whole number" in caplog.text
    assert "counted as the nearest, or train with 'dataset.kinds={age: real}'" in caplog.text
    assert odd.equals(density.complete(odd))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m, f: m.log_prob(f.drop("age")), "the frame of polars has no column 'age'"),
        (lambda m, f: m.complete(f.select(x=1)), "the frame of polars has no column 'town'"),
        (lambda m, f: m.complete(f.rename({"age": "agee"})), "'agee'; .* Did you mean 'age'"),
        (lambda m, f: m.log_prob(np.zeros((2, 5))), "the array has no column 'town'"),
        (lambda m, f: m.log_prob(f.with_columns(age=pl.lit("old"))), "'old' is not a number"),
        (lambda m, f: m.log_prob(f.clear()), "the frame of polars has no rows"),
        (lambda m, f: m.complete(f.clear()), "the frame of polars has no rows"),
        (lambda m, f: m.log_prob(np.zeros((2, 3))), "the array has no column 'town'"),
        (lambda m, f: m.log_prob(torch.zeros(2, 3)), r"x must have shape \(B, 4\)"),
        (lambda m, f: m.log_prob([1, 2]), "a data frame of pandas, polars or pyarrow"),
        (lambda m, f: m.complete(f, torch.ones(4) > 0), "observed goes with tensors"),
        (lambda m, f: m.complete(f, num_samples=-1), "num_samples must be >= 0"),
        (lambda m, f: m.complete(f, num_samples="2"), "num_samples must be a whole .*, got '2'"),
        (lambda m, f: m.sample(3, seed=-1), "seed must be >= 0, got -1"),
        (lambda m, f: m.sample(3, seed=0.5), "seed must be a whole number >= 0, got 0.5"),
        (lambda m, f: m.sample(2.5), "num_samples must be a whole number >= 0, got 2.5"),
        (lambda m, f: m.sample(True), "num_samples must be a whole number >= 0, got True"),
        (lambda m, f: m.sample(2, batch_size=1.5), "batch_size must be a whole number >= 1"),
        (lambda m, f: m.sample(2, temperature="hot"), "temperature must be > 0, got 'hot'"),
        (lambda m, f: m.log_prob(f, num_orderings=1.5), "num_orderings must be a whole number"),
        (lambda m, f: m.sample(3, seed=1, generator=torch.Generator()), "give one"),
        (lambda m, f: m.sample(-3), "num_samples must be >= 0"),
        (lambda m, f: m.surprise(f, given="other"), "given must be one of earlier, others"),
        (lambda m, f: m.predict_proba(f, target="twon"), "no column 'twon'. Did you mean 'town'"),
        (lambda m, f: m.predict_proba(f, target="wage"), "'wage' holds real numbers"),
        (lambda m, f: m.predict_proba(f, target=[]), "target must hold each of one or more"),
        (lambda m, f: m.predict_proba(f, target=["town"] * 2), "target must hold each of one"),
        (lambda m, f: m.probability("town = Brn"), "Bern"),
        (lambda m, f: m.decode(torch.zeros(2, 3)), r"x must have shape \(N, 4\)"),
        (lambda m, f: Density(m.made, m.schema, "panda"), "Did you mean 'pandas'"),
        (lambda m, f: Density(m.made).predict_proba(f, "town"), "the model is of no table"),
    ],
)
def test_what_does_not_fit_is_answered(density, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(density, people(3))


def test_values_never_seen_are_left_where_they_are(density):
    frame = people(2).with_columns(town=pl.lit("Rom"), age=pl.lit(None, pl.Int64))
    assert len(density.log_prob(frame)) == 2
    filled = density.complete(frame, seed=0)
    assert filled["town"].to_list() == ["Rom", "Rom"]
    assert filled["age"].null_count() == 0
    assert np.allclose(density.predict_proba(frame, target="member").sum_horizontal(), 1)
    assert 0 < density.probability("town = Bern", given="member = true") < 1


def test_models_of_no_table_answer_questions_about_their_variables():
    made = tiny_made(ordering="random").double()
    model, rows = Density(made), all_binary(8)
    x, probs = rows.numpy(), made.log_prob(rows).exp().numpy()
    known = x[:, 5] == 1
    wanted = probs[known & (x[:, 0] == 1) & (x[:, 3] == 0)].sum() / probs[known].sum()
    found = model.probability("x0 = 1 and x3 = 0", given="x5 = 1")
    assert found.is_exact
    assert found == pytest.approx(wanted)
    joint = model.predict_proba(x, ["x6", "x2"])
    others = np.delete(x, [2, 6], axis=1) @ 2 ** np.arange(6)
    for row in (0, 77, 255):
        alike = others == others[row]
        chosen = [alike & (x[:, 6] == a) & (x[:, 2] == b) for a in (0, 1) for b in (0, 1)]
        shares = np.array([probs[own].sum() for own in chosen]) / probs[alike].sum()
        assert np.allclose(joint[row], shares)
    assert np.array_equal(model.predict_proba(rows, "x6").numpy(), model.predict_proba(x, "x6"))
    with pytest.raises(ValueError, match="there is no column 'y1'"):
        model.probability("y1 = 1")
    with pytest.raises(ValueError, match="target: the model has no column 'y'"):
        model.predict_proba(x, "y")


@pytest.mark.parametrize(("ordering", "seed"), [("natural", 0), ("ensemble", 2)])
def test_a_fixed_order_draws_on_from_the_cell_that_came_out_empty(ordering, seed):
    """Of two columns that are often missing; the first has its share given that it is there."""
    source, count = np.random.default_rng(0), 200
    frame = pl.DataFrame(
        {
            "age": source.integers(20, 23, count),
            "town": source.choice(["Bern", "Wien", ""], count),
            "diet": source.choice(["all", "fish", ""], count),
        }
    ).with_columns(pl.col("town", "diet").replace("", None))
    schema = fit_table(raw_table(frame), {"train": np.arange(count)}, missing="model").schema
    options = {"num_orderings": 2}
    made = tiny_made(schema.variables, ordering=ordering, seed=seed, schedule_options=options)
    model, blank = (
        Density(made, schema),
        frame[:1].with_columns(town=pl.lit(None, pl.String), diet=pl.lit(None, pl.String)),
    )
    filled = model.complete(blank, num_samples=2000, seed=0)
    assert set(filled["town"]) == {"Bern", "Wien"}
    assert set(filled["diet"]) == {"all", "fish"}
    if ordering == "natural":
        prob = model.probability("town = Bern", f"age = {blank['age'][0]} and town is not missing")
        assert (filled["town"] == "Bern").mean() == pytest.approx(prob, abs=0.05)


def test_codes_beyond_the_range_are_impossible_and_rows_beyond_it_unlikely():
    schema = fit_table(raw_table(people()), {"train": np.arange(150)}).schema
    density = Density(tiny_made(schema.variables), schema, "polars")
    rows = people().head(2).with_columns(age=pl.Series([-400, 400], dtype=people()["age"].dtype))
    assert np.isfinite(density.log_prob(rows)).all()
    assert np.isfinite(density.surprise(rows)["age"].to_numpy()).all()
    codes = density.encode(people().head(3))
    place = density.schema.names.index("age")
    codes[0, place], codes[1, place] = -1, schema.variables[place].num_values
    assert density.log_prob(codes).isneginf().tolist() == [True, True, False]
    assert density.surprise(codes)[:, place].isposinf().tolist() == [True, True, False]
