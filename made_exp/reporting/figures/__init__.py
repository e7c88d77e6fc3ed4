"""Pictures: arrays in, pictures out, and a PNG on disk when a path is given.

Every function returns the picture as an array (height, width, 3) uint8.
"""

from made_exp.reporting.figures.canvas import animation, save_png
from made_exp.reporting.figures.curves import cost_plot, nll_by_num_orderings, nll_curves
from made_exp.reporting.figures.densities import density_1d, density_2d
from made_exp.reporting.figures.samples import class_grid, completion_grid, image_grid, vector_grid

__all__ = [
    "animation",
    "class_grid",
    "completion_grid",
    "cost_plot",
    "density_1d",
    "density_2d",
    "image_grid",
    "nll_by_num_orderings",
    "nll_curves",
    "save_png",
    "vector_grid",
]
