"""Pictures: arrays in, pictures out.

Every figure is returned as an array (height, width, 3) uint8; `save_png` makes a file of it.
"""

from made_exp.reporting.figures.canvas import animation, save_png
from made_exp.reporting.figures.cards import image_tiles, worst_columns
from made_exp.reporting.figures.distribution import distribution_picture
from made_exp.reporting.figures.plots import (
    density_1d,
    density_2d,
    density_plane,
    nll_by_num_orderings,
)
from made_exp.reporting.figures.samples import class_grid, completion_grid, image_grid
from made_exp.reporting.figures.table import table_picture

__all__ = [
    "animation",
    "class_grid",
    "completion_grid",
    "density_1d",
    "density_2d",
    "density_plane",
    "distribution_picture",
    "image_grid",
    "image_tiles",
    "nll_by_num_orderings",
    "save_png",
    "table_picture",
    "worst_columns",
]
