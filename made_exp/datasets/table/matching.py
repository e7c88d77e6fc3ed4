"""Columns of new rows beside those of the table: what lacks, and what the model does not know."""

import logging
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from made_exp.datasets.table.frames import ARRAY
from made_exp.datasets.table.raw import GivenTable, listed
from made_exp.errors import did_you_mean

_log = logging.getLogger(__name__)


class Match(NamedTuple):
    """How the columns of new rows go with those of the table.

    Attributes:
        absent: Columns that are modelled and are not there.
        unknown: Columns that the table does not have.
    """

    absent: tuple[str, ...]
    unknown: tuple[str, ...]

    def unknown_ones(self, names: Sequence[str]) -> str:
        """The unknown columns in words; of a repeated one its name is said as it was given."""
        return listed([_in_words(name, names) for name in self.unknown])


def match_columns(
    raw: GivenTable,
    modelled: Sequence[str],
    others: Collection[str],
    needed: Collection[str],
    filled: Collection[str] = (),
) -> Match:
    """Compare the columns of new rows with those that are modelled, and others that may be there.

    Those that are `filled` have no empty cells.

    Raises:
        ValueError: If a column that is needed is not there, none of the table's is, or one is
            called nearly like one that lacks; if an array has more columns.
    """
    absent = [name for name in modelled if name not in raw.names]
    unknown = [name for name in raw.names if name not in {*modelled, *others}]
    missing = [name for name in absent if name in needed] or absent[: len(absent) == len(modelled)]
    source, the_table = raw.origin.source, f"the table has {listed(modelled)}"
    if missing:
        hint = did_you_mean(missing[0], unknown).replace("Did you mean", "Is it")
        is_filled = missing[0] in filled
        known = "with a value in each row, as the others are modelled given it"
        hint = hint or f"; add it, {known if is_filled else 'empty, where nothing of it is known'}"
        raise ValueError(
            f"{source} has no column '{missing[0]}'; {the_table}{_of_array(raw, hint)}"
        )
    near = [(name, hint) for name in unknown if (hint := did_you_mean(name, absent))]
    if near or (unknown and source == ARRAY):
        name, hint = (*near, (*unknown[:1], ""))[0]
        raise ValueError(f"{source} has unknown column '{name}'; {the_table}{_of_array(raw, hint)}")
    return Match(tuple(absent), tuple(unknown))


def say_absent(raw: GivenTable, match: Match) -> None:
    """Warn of columns that are not there."""
    if match.absent:
        what = "%s lacks columns that the table has, which are drawn: %s"
        _log.warning(what, raw.origin.source, listed(match.absent))


def say_unknown(raw: GivenTable, match: Match, what: str = "left out") -> None:
    """Warn of columns that the model does not know, and say what becomes of them."""
    if match.unknown:
        _log.warning(
            "%s: columns that the model does not know are %s: %s",
            raw.origin.source,
            what,
            match.unknown_ones(raw.names),
        )


def _of_array(raw: GivenTable, hint: str) -> str:
    if raw.origin.source != ARRAY:
        return hint
    return "; columns of an array are called x0, x1, ...: hand over a frame with names"


def _in_words(name: str, names: Sequence[str]) -> str:
    first = re.sub(r"_\d+$", "", name)
    return f"{name} (so a second '{first}' is called)" if first != name and first in names else name
