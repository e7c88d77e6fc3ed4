"""The first look at a table: how all of its columns are written, before any of them is made."""

from collections.abc import Mapping, Sequence
from typing import final

from made_exp.datasets.table.cells import Cells
from made_exp.datasets.table.fitting import Limits
from made_exp.datasets.table.inference import understand
from made_exp.datasets.table.raw import GivenTable, listed
from made_exp.datasets.table.reading import Reading
from made_exp.datasets.table.suspicions import markers_found

_NUMERIC = ("integer", "real", "decimal", "date")


@final
class FirstLook:
    """What was understood of the columns of a table.

    Args:
        raw: All its rows.
        names: Columns to look at.
        num_first: So many rows say how they are written; others are looked for markers alone.
        kinds: What a column holds, by its name, where the user says so.
        missing_values: Texts that stand for no value, in place of NA and the like.

    Attributes:
        limits: Of knots and atoms, by how many of the columns are numeric.

    Raises:
        ValueError: If a cell does not fit the kind of its column; with its place.
    """

    def __init__(
        self,
        raw: GivenTable,
        names: Sequence[str],
        num_first: int,
        kinds: Mapping[str, str],
        missing_values: Sequence[str] | None,
    ) -> None:
        self._raw, self._names, self._num_first = raw, names, num_first
        self._kinds, self._missing_values = kinds, missing_values
        self._kept = dict[str, tuple[Cells, Reading]]()
        self._unseen = dict.fromkeys(missing_values or ())
        kinds_found = [self._first(name).kind for name in names]
        self.limits = Limits.among(sum(kind in _NUMERIC for kind in kinds_found))

    def take(self, name: str) -> tuple[Cells, Reading]:
        """The first cells of a column and what was understood of them, once."""
        return self._kept.pop(name) if name in self._kept else self._look(name)

    def unseen(self) -> list[str]:
        """What to say of texts that stand for no value and are nowhere."""
        where = f"stands in none of the columns {listed(self._names)}"
        return [f"dataset.missing_values: '{text}' {where}" for text in self._unseen]

    def _look(self, name: str) -> tuple[Cells, Reading]:
        cells = Cells.of(self._raw.column(name).part(0, self._num_first))
        return cells, understand(cells, self._kinds.get(name), self._missing_values)

    def _first(self, name: str) -> Reading:
        cells, reading = self._look(name)
        if self._unseen:
            here = markers_found(cells, reading, tuple(self._unseen))
            here |= self._found_later(name)
            self._unseen = {text: None for text in self._unseen if text not in here}
        if self._raw.is_in_memory:  # else one column at a time is
            self._kept[name] = cells, reading
        return reading

    def _found_later(self, name: str) -> set[str]:
        later = self._raw.column(name).part(self._num_first, len(self._raw))
        return Cells.of(later).markers_found(self._unseen) if len(later.values) else set()
