"""Which columns of the files of a table are read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Chosen:
    """The columns that are read; the others may be missing in some files of a table.

    Attributes:
        columns: Those to keep, all where empty.
        drop: Those to leave out.
        besides: Those that are read whatever the others say.
    """

    columns: Collection[str] = ()
    drop: Collection[str] = ()
    besides: Collection[str] = ()

    def among(self, names: Sequence[str]) -> list[str]:
        """Those of a header that are read; all where none would be, for who has to say why."""
        kept = {*(self.columns or names)} - {*self.drop, *self.besides}
        if kept.isdisjoint(names):
            return list(names)
        return [name for name in names if name in kept or name in self.besides]


ALL = Chosen()  # whatever there is
