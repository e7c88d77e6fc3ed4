"""A trained density: tensors in, tensors out; of a table also frames in, frames out."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import polars as pl
import torch
from torch import Tensor

from made_exp.datasets.table.frames import check_process
from made_exp.datasets.table.plain import schema_of
from made_exp.datasets.table.schema import TableSchema
from made_exp.density.classes import class_probabilities, classes_of, targets_of
from made_exp.density.completing import complete_frame
from made_exp.density.entry import array_of, generator_of, is_beyond, numbers_of, rows_like
from made_exp.density.likeness import Likeness
from made_exp.density.probability import Probability, probability
from made_exp.density.surprise import surprise, surprise_given_others
from made_exp.density.wrapped import Wrapped
from made_exp.errors import whole_number
from made_exp.model.made import MADE

_NO = float("-inf")
_SURPRISES = {"earlier": surprise, "others": surprise_given_others}


@final
class Density(Wrapped):
    """An exact density, in evaluation mode.

    Tensors hold numbers as the model has them, codes that it draws of whole numbers and categories,
    and what is answered to them are tensors. Frames
    (pandas, polars, pyarrow) and arrays hold the values of the table, with columns in any order and
    others beside them; answers are frames of the same library. Several threads may ask at once.

    Args:
        made: What was trained.
        schema: How its variables are written in a table; None where it is of none.
        frames: What `sample` makes: the name of a library (polars, pandas, pyarrow, numpy), or a
            frame, whose types are then kept too; None: tensors.

    Attributes:
        made: The model, for what is not asked here.
        schema: Of the table, or None.

    Raises:
        ValueError: If the library is not known, or the frame lacks a column.
    """

    def __init__(self, made: MADE, schema: TableSchema | None = None, frames: Any = None) -> None:
        super().__init__(made, schema)
        self._likeness = Likeness.of(frames, schema)

    def log_prob(
        self,
        data: Any,
        context: Tensor | None = None,
        num_orderings: int | None = None,
        grad: bool = False,
    ) -> Any:
        """Log-probability of rows; what is missing in a row is left out, or a value of the model.

        Args:
            data: A frame, an array or a tensor of B rows.
            context: (B,) class labels, or None.
            num_orderings: Orderings in the mixture; default the model's.
            grad: Whether to keep what a gradient needs, for all rows at once.

        Returns:
            (B,) nats, a tensor for a tensor and else a float64 array; -inf where a value is none
            of its column.

        Raises:
            ValueError: If the rows are not those of the table.

        Examples:
            >>> usual, odd = model.log_prob(pl.DataFrame({"age": [30, 30], "town": ["x", "y"]}))
            >>> bool(usual > odd)
            True
        """
        x = numbers_of(data, self.schema)
        log_probs = self.made.log_prob(x, context, num_orderings, grad)  # type: ignore[arg-type]
        beyond = is_beyond(data, self.groups.variables)
        return array_of(log_probs) if beyond is None else log_probs.masked_fill(beyond.any(1), _NO)

    def sample(
        self,
        num_samples: int,
        *,
        seed: int | None = None,
        codes: bool = False,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> Any:
        """Draw exact samples; the options are those of `MADE.sample`.

        In a frame numbers are rounded to the grid of their column, where all of train are on one.

        Args:
            num_samples: Number of rows n >= 0.
            seed: The same seed draws the same rows; None: torch's own generator.
            codes: Whether numbers as the model has them are wanted of a table too.
            generator: In place of a seed.
            **options: context, temperature, batch_size, component, progress.

        Returns:
            A frame of n rows with the values of the table; or a tensor (n, D).

        Raises:
            ValueError: If an argument is out of range.

        Examples:
            >>> model.sample(3, seed=0).columns
            ['age', 'town']
        """
        x = self.made.sample(num_samples, generator=generator_of(seed, generator), **options)
        if codes or self._likeness.library is None:
            return x
        if self.schema is not None:
            rows = self.schema.on_grids(x.detach().cpu().double().numpy())
            return self.decode(torch.from_numpy(rows))
        columns = [pl.Series(f"x{d}", column) for d, column in enumerate(x.T.cpu().numpy())]
        return self._likeness.make(columns)

    def complete(
        self,
        data: Any,
        observed: Tensor | None = None,
        *,
        num_samples: int = 1,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Draw what is not known of rows given what is, exactly; see `MADE.complete`.

        In a frame that are the empty cells, which never come out empty but in identifiers, and
        columns that it lacks, which come last. All other cells and columns come back as they are,
        with the types and the index of the frame.

        Args:
            data: A frame, an array or a tensor of B rows.
            observed: Of a tensor, (B, D) or (D,) bool what is known; default all but NaN, and what
                the model is given.
            num_samples: How often each row is completed; its completions follow each other.
            seed: The same seed draws the same values; None: torch's own generator.
            generator: In place of a seed.
            context: (B,) class labels, or None.
            **options: temperature, batch_size, progress.

        Returns:
            The B num_samples rows, as they were given.

        Raises:
            ValueError: If the rows are not those of the table, or the model has one fixed ordering
                and what is known does not come first in it.

        Examples:
            >>> whole = model.complete(pl.DataFrame({"age": [30], "town": [None]}), seed=0)
            >>> whole["age"][0], whole["town"][0] in ("x", "y")
            (30, True)
        """
        num_samples = whole_number("num_samples", num_samples, 0)
        options["generator"] = generator_of(seed, generator)
        if self.schema is not None and not isinstance(data, Tensor):
            if observed is not None:
                raise ValueError("observed goes with tensors; of a frame the empty cells are drawn")
            return complete_frame(
                self.made, self.schema, data, self._likeness, num_samples, context, **options
            )
        x = torch.as_tensor(numbers_of(data, None))
        if observed is None:
            observed = ~torch.isnan(x) | self.groups.is_given.to(x.device)
        if num_samples != 1:
            observed = observed.expand(x.shape).repeat_interleave(num_samples, 0)
            x = x.repeat_interleave(num_samples, 0)
            context = None if context is None else context.repeat_interleave(num_samples, 0)
        drawn = self.made.complete(x, observed, context=context, **options)
        return drawn if isinstance(data, Tensor) else array_of(drawn)

    def surprise(self, data: Any, *, given: str = "earlier", **options: Any) -> Any:
        """How surprising each cell is, -log p(cell | others of its row), in nats.

        Args:
            data: A frame, an array or a tensor of B rows.
            given: "earlier": the cells before it in the orderings; these add up to -log p(row).
                "others": all other cells; of models of any order.
            **options: context, num_orderings, batch_size.

        Returns:
            (B, D), 0 where a cell is missing and infinite where it is no value of its column; a
            frame with a column each of those that are modelled, or a tensor for a tensor.

        Raises:
            ValueError: If the rows are not those of the table, or orders are fixed and `given` is
                "others".

        Examples:
            >>> cells = model.surprise(people)
            >>> rest = cells.sum_horizontal().to_numpy() + model.log_prob(people)
            >>> bool(abs(rest).max() < 0.01)
            True
        """
        if given not in _SURPRISES:
            raise ValueError(f"given must be one of {', '.join(_SURPRISES)}, got {given!r}")
        x = torch.as_tensor(numbers_of(data, self.schema))
        found = _SURPRISES[given](self.made, x, **options)
        beyond = is_beyond(data, self.groups.variables)
        if beyond is not None:
            return found.masked_fill(beyond, -_NO)
        if self.schema is None:
            return array_of(found)
        return rows_like(data, found, [column.name for column in self.schema.modelled])

    def predict_proba(
        self, data: Any, target: str | Sequence[str], context: Tensor | None = None
    ) -> Any:
        """Probabilities of the values of a column given the other cells of each row, exactly.

        Args:
            data: B rows as of `log_prob`; the target is not read, and in a frame need not be there.
            target: The column, or several: then of all combinations of their values.
            context: (B,) class labels, or None.

        Returns:
            A frame (B, K) with a column for each value, or combination; rows sum to one.

        Raises:
            ValueError: If the rows are not those of the table, or the values of the target cannot
                be listed.

        Examples:
            >>> chances = model.predict_proba(pl.DataFrame({"age": [30]}), target="town")
            >>> chances["x"][0] > chances["y"][0]
            True
        """
        targets = targets_of(self._named, target)
        needed = [c.name for d, c in enumerate(self._named.modelled) if d not in targets]
        x = torch.as_tensor(numbers_of(data, self.schema, needed))
        values, names = classes_of(self._named, targets)
        found = class_probabilities(self.made, x, targets, values, context)
        return found if isinstance(data, Tensor) else rows_like(data, found, names)

    def probability(self, event: str, given: str | None = None, **options: Any) -> Probability:
        """The probability that a row is as a predicate says.

        Args:
            event: The predicate, such as "age >= 65 and sex = F", or "x3 = 1" of a model that is
                of no table; see `density.predicate`.
            given: A condition, written alike; None for all rows.
            **options: num_samples, seed, context, keep of `density.probability.probability`.

        Returns:
            A float with `value`, `stderr` and `is_exact`.

        Raises:
            ValueError: If a predicate cannot be read, a column or a value is unknown, or the
                condition has probability 0.

        Examples:
            >>> model.probability("age < 50", given="town = x") > 0.5
            True
        """
        return probability(self.made, self._named, event, given, **options)

    def encode(self, data: Any) -> Tensor:
        """Rows of a frame or an array as numbers of the model, (B, D), NaN where missing.

        Raises:
            ValueError: If they are not those of the table.
        """
        return torch.as_tensor(numbers_of(data, self._schema("encode")))

    def decode(self, x: Tensor) -> Any:
        """Numbers of the model (B, D) as rows of the table, in the frames that `sample` makes.

        Raises:
            ValueError: If x is not so wide.
        """
        schema = self._schema("decode")
        check_process()
        texts = schema.decode(x.detach().cpu().double().numpy())
        return self._likeness.typed(schema.columns, texts)

    @cached_property
    def _named(self) -> TableSchema:
        """The table, or how questions name the variables of a model that is of none."""
        return self.schema or schema_of({"variables": [v.to_dict() for v in self.groups.variables]})

    def _schema(self, question: str) -> TableSchema:
        if self.schema is None:
            raise ValueError(f"{question}: the model is of no table, whose columns have names")
        return self.schema
