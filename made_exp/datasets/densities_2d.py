"""Pixels drawn from a picture as if it were a density over its rows and columns.

The protocol of the Berkeley CS294-158 course: the picture in grey, resized, is normalised to sum
to 1; an example is the position (row, column) of a pixel drawn from it. Variable 0 is the row,
counted from the top, variable 1 the column.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from made_exp.datasets.base import Dataset
from made_exp.datasets.download import Checksum, fetch
from made_exp.datasets.registry import find_file
from made_exp.errors import one_line
from made_exp.memory import refuse_too_large
from made_exp.variables.variable import Kind, Variable

DRAW_SEED = 0
_CELL = 50  # bytes while a density is made; where the picture is drawn in sixty-four times as fine
_DRAWN_CELL = 64 * 40
NOTE = "valid is a further draw from the same density, a tenth of num_examples"
_COURSE = (
    "https://raw.githubusercontent.com/rll/deepul/"
    "168d5e9183566e2e4a33b06e882e58e5ca20d73b/homeworks/hw1/data/"
)
_SHA256 = {
    "smiley.jpg": "11b04bacd9d31cbc688d4ac3cf436ea18fa2538f2934a0aeb46e58b6fce13167",
    "geoffrey-hinton.jpg": "6ba4df1dd6384ff813316cdf96517e8aa0b4a6868e69dded67b18c88ee1e25d8",
}


def load_smiley(
    *, seed: int, data_dir: Path, size: int, num_examples: int, original: bool
) -> Dataset:
    """A smiling face; drawn here, or with `original` the course's picture, downloaded.

    Args:
        seed: Not used: the draws are the same for all runs, so that results compare.
        data_dir: Where the original picture is looked for and downloaded to.
        size: Height and width of the density, at least 2.
        num_examples: Size of train (80 %) and test (20 %) together, at least 10.
        original: Whether to use the published picture.
    """
    del seed
    _refuse_large(size, drawn=not original)
    if original:
        grey, note = _course_picture("smiley.jpg", size, data_dir), "the published smiley.jpg; "
    else:
        grey, note = draw_smiley(size), "not the published smiley.jpg, but drawn like it; "
    return _dataset("smiley", grey, num_examples, note + NOTE)


def load_hinton(*, seed: int, data_dir: Path, size: int, num_examples: int) -> Dataset:
    """The course's picture of Geoffrey Hinton, downloaded; arguments as `load_smiley`."""
    del seed
    _refuse_large(size)
    grey = _course_picture("geoffrey-hinton.jpg", size, data_dir)
    return _dataset("hinton", grey, num_examples, NOTE)


def load_image(*, seed: int, data_dir: Path, path: str, size: int, num_examples: int) -> Dataset:
    """Any picture file of the user's as a density, bright is likely; arguments as `load_smiley`.

    Raises:
        ValueError: If the file is missing, not a picture or all of one colour.
    """
    del seed
    _refuse_large(size)
    file = find_file(path, data_dir)
    return _dataset(file.stem, read_picture(file, size), num_examples, NOTE)


def _refuse_large(size: int, *, drawn: bool = False) -> None:
    """Raise ValueError if a density of size x size cells is too large for the machine."""
    cell = _DRAWN_CELL if drawn else _CELL
    refuse_too_large(size**2 * cell, f"dataset.size={size}", "give fewer rows and columns")


def _course_picture(name: str, size: int, data_dir: Path) -> np.ndarray:
    file = fetch([_COURSE + name], data_dir / "images" / name, Checksum("sha256", _SHA256[name]))
    return read_picture(file, size)


def _dataset(name: str, grey: np.ndarray, num_examples: int, note: str) -> Dataset:
    """Draw the splits from grey levels (size, size), all >= 0, some > 0."""
    probs = grey.astype(np.float64) / grey.sum(dtype=np.float64)
    size = len(probs)
    random = np.random.RandomState(DRAW_SEED)
    num_train, num_valid = int(0.8 * num_examples), num_examples // 10
    # Train and test are drawn first, so that they do not depend on there being a valid.
    pixels = random.choice(size * size, size=num_examples, p=probs.ravel())
    further = random.choice(size * size, size=num_valid, p=probs.ravel())

    def positions(pixel: np.ndarray) -> torch.Tensor:
        pairs = np.stack(np.divmod(pixel, size), axis=1)
        return torch.from_numpy(pairs.astype(np.uint8 if size <= 256 else np.int64))

    return Dataset(
        name=name,
        variables=(Variable("row", Kind.ORDINAL, size), Variable("column", Kind.ORDINAL, size)),
        train=positions(pixels[:num_train]),
        valid=positions(further),
        test=positions(pixels[num_train:]),
        true_probs=torch.from_numpy(probs),
        note=note,
    )


def read_picture(file: Path, size: int) -> np.ndarray:
    """A picture as grey levels (size, size) float32, >= 0, not all equal; transparent is black.

    Raises:
        ValueError: If it cannot be read, is empty or all of one colour.
    """
    if file.stat().st_size == 0:
        raise ValueError(f"picture {file} is an empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                image.load()
                grey = np.asarray(_resized_grey(image, size), dtype=np.float32)
    except Exception as error:  # what a damaged file makes of its reader
        raise ValueError(f"cannot read picture {file}: {one_line(error)}") from error
    grey = np.maximum(grey, 0)
    if not np.isfinite(grey).all():
        raise ValueError(f"picture {file} has pixels that are not finite")
    if grey.min() == grey.max():
        raise ValueError(f"picture {file} is all of one colour at size {size}: no density to learn")
    return grey


def _resized_grey(image: Image.Image, size: int) -> Image.Image:
    """The image at size x size, one channel; resized before it is greyed, as the course does."""
    bicubic = Image.Resampling.BICUBIC
    if image.mode[0] in "IF":  # 16 and 32 bits, float
        return image.convert("F").resize((size, size), bicubic)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        black = Image.new("RGBA", image.size, "black")
        black.alpha_composite(image.convert("RGBA"))
        image = black
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return image.resize((size, size), bicubic).convert("L")


def draw_smiley(size: int) -> np.ndarray:
    """A round grey face on white with dark outline, eyes and mouth; needs no file.

    Returns:
        (size, size) float32 grey levels 0..255, antialiased.
    """
    fine = 8
    at = (np.arange(size * fine) + 0.5) / (size * fine) * 2.3 - 1.15
    y, x = at[:, None], at[None, :]
    radius = np.hypot(x, y)
    grey = np.where(radius <= 1.0, 205.0, 255.0)
    grey[np.abs(radius - 0.94) <= 0.06] = 0.0
    for side in (-1, 1):
        grey[((x - 0.3 * side) / 0.11) ** 2 + ((y + 0.33) / 0.27) ** 2 <= 1] = 0.0
        grey[np.hypot((x - 0.66 * side) / 0.13, (y - 0.1) / 0.045) <= 1] = 0.0
    mouth = (np.abs(np.hypot(x / 1.0, (y - 0.1) / 0.9) - 0.64) <= 0.05) & (y >= 0.1)
    grey[mouth] = 0.0
    return grey.reshape(size, fine, size, fine).mean(axis=(1, 3)).astype(np.float32)
