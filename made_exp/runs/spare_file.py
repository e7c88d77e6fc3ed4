"""The file that a checkpoint has just lost, for the next one to be written over it.

A new file costs the system more time, for finding memory and space, than the numbers in it.
"""

import contextlib
import os
from pathlib import Path


class SpareFile:
    """A hidden file beside `path` that nobody needs.

    Args:
        path: Of the checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f".{path.name}.spare.tmp")

    def move_to(self, temporary: Path) -> None:
        """Rename the file to `temporary`, if there is one that has no other name."""
        with contextlib.suppress(OSError):  # there is none: a new one will do
            if self.path.stat().st_nlink == 1:
                os.replace(self.path, temporary)

    def hold(self, path: Path) -> None:
        """Take the file at `path`, which is about to be replaced; until then it has both names."""
        with contextlib.suppress(OSError):  # there is none, or it cannot have two names
            self.path.unlink(missing_ok=True)
            os.link(path, self.path)

    def remove(self) -> None:
        """Remove the file, if there is one."""
        with contextlib.suppress(OSError):
            self.path.unlink()
