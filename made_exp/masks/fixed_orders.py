"""Orders that follow a rule, by name: lists of the variables as they are modelled.

Nothing is imported that takes time, so that the names are known before torch is.
"""

from collections.abc import Callable

Rule = Callable[[int], list[int]]
Scan = Callable[[int, int], list[int]]

ORDERS: dict[str, Rule] = {}
"""Option of the group `ordering` -> a function of the number of variables D."""

SCANS: dict[str, Scan] = {}
"""Option of the group `ordering`, for images -> a function of height and width."""


def order(function: Rule) -> Rule:
    """Make an option of a function of D, called as it is."""
    ORDERS[function.__name__.rstrip("_")] = function
    return function


def scan(function: Scan) -> Scan:
    """Make an option of a function of height and width, called as it is."""
    SCANS[function.__name__] = function
    return function


@order
def natural(num_dims: int) -> list[int]:
    """Variables in the order of the data: 0, 1, ..., D-1 (row-major for images)."""
    return list(range(num_dims))


@order
def reversed_(num_dims: int) -> list[int]:
    """Variables from last to first: D-1, ..., 1, 0."""
    return list(range(num_dims))[::-1]


@scan
def column_major(height: int, width: int) -> list[int]:
    """Pixels column by column, each from top to bottom."""
    return [pixel for column in zip(*_rows(height, width), strict=True) for pixel in column]


@scan
def snake(height: int, width: int) -> list[int]:
    """Pixels row by row, every second row from right to left, so that neighbours follow."""
    rows = _rows(height, width)
    return [pixel for y, row in enumerate(rows) for pixel in (row[::-1] if y % 2 else row)]


@scan
def spiral(height: int, width: int) -> list[int]:
    """Pixels along a clockwise spiral from the top left corner to the centre."""
    rows, order = _rows(height, width), []
    while rows:
        order += rows[0]
        rows = [list(column) for column in zip(*rows[1:], strict=True)][::-1]
    return order


@scan
def centre_out(height: int, width: int) -> list[int]:
    """Pixels by their distance from the centre of the image, ties in row-major order."""

    def distance(pixel: int) -> int:
        y, x = divmod(pixel, width)
        return (2 * y - height + 1) ** 2 + (2 * x - width + 1) ** 2

    return sorted(range(height * width), key=distance)


def _rows(height: int, width: int) -> list[list[int]]:
    return [list(range(y * width, (y + 1) * width)) for y in range(height)]
