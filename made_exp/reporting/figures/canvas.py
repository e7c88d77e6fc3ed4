"""The look that all pictures share, and how they become arrays, PNG files and animations."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from made_exp.files import atomic_write_bytes

DPI = 100
MARGIN = 16
CARD = 340  # pixels across, of a picture as TensorBoard shows it
BLUE, ORANGE = "#2463ae", "#d9660a"
_FRAME_MILLISECONDS, _LAST_MILLISECONDS, _MAX_FRAME_WIDTH = 300, 2000, 900
INK, MUTED, GRID, BAR, RULE = "#1f2430", "#5b6472", "#e3e6ea", "#c9d1dc", "#b4bac4"


def new_figure(width: int, height: int, title: str = "") -> Figure:
    """A white figure of `width` x `height` pixels with a title, drawn without any global state."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    if title:
        add_text(figure, MARGIN, 22, title, size=12, fontweight="bold")
    return figure


def new_plots(
    width: int, height: int, title: str = "", count: int = 1
) -> tuple[Figure, list[Axes]]:
    """A new figure, and `count` axes side by side that leave room for each other's labels."""
    figure = new_figure(width, height, title)
    top = 1 - (36 if title else 4) / height
    figure.set_layout_engine("constrained", rect=(0, 0, 1, top), w_pad=0.1, h_pad=0.1, wspace=0.06)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def add_picture(figure: Figure, picture: np.ndarray, left: int, top: int, scale: int) -> None:
    """A picture (h, w, 3) in [0, 1], its pixels sharp squares of `scale` pixels of the screen."""
    bottom = figure.get_figheight() * DPI - top - len(picture) * scale
    figure.figimage(picture.repeat(scale, axis=0).repeat(scale, axis=1), left, round(bottom))


def add_text(
    figure: Figure, x: float, y: float, text: str, *, size: float = 10, **options: Any
) -> None:
    """Text at a place in pixels from the upper left corner; `text` is never read as mathematics."""
    width, height = figure.get_size_inches() * DPI
    figure.text(
        x / width,
        1 - y / height,
        plain(text),
        fontsize=size,
        **{"color": INK, "va": "center", **options},
    )


def pixel_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose frame is a rectangle in pixels from the upper left corner."""
    full_width, full_height = figure.get_size_inches() * DPI
    place = left / full_width, 1 - (top + height) / full_height
    return figure.add_axes((*place, width / full_width, height / full_height))


def cut(text: str, length: int) -> str:
    """`text`, or its beginning with an ellipsis where it is longer than `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def count(number: int) -> str:
    """A whole number with a space between thousands."""
    return f"{number:,}".replace(",", " ")


def plain(text: str) -> str:
    """`text` with the dollar signs escaped that would start mathematics."""
    return text.replace("$", r"\$")


def style(axes: Axes, title: str = "", x_label: str = "", y_label: str = "") -> None:
    """Give `axes` a title, labels, a light grid behind the data, two spines, and a legend."""
    axes.set_title(plain(title), fontsize=10.5, color=INK, loc="left", pad=8)
    axes.set_xlabel(plain(x_label), fontsize=9.5, color=INK)
    axes.set_ylabel(plain(y_label), fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=3)
    if not axes.images:
        axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=9, frameon=False, labelcolor=INK)


def render(figure: Figure) -> np.ndarray:
    """Draw `figure`; return it as (height, width, 3) uint8.

    Letters that the font lacks are boxes: nothing is said of them, nor of ticks beyond float64.
    """
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_png(path: str | Path, image: np.ndarray) -> None:
    """Write a picture (height, width, 3) uint8 as PNG, atomically; make its folder if needed."""
    _write(path, encode_png(image))


def _write(path: str | Path, content: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, content)


def encode_png(image: np.ndarray) -> bytes:
    """A picture (height, width, 3) uint8 as the bytes of a PNG; few colours make a palette."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    if picture.getcolors(256) is not None:
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def animation(frames: Sequence[str | Path], path: str | Path) -> None:
    """Write a GIF of PNG files that repeats, and rests on the last frame; wide ones are shrunk.

    Raises:
        ValueError: If there are no frames.
    """
    if not frames:
        raise ValueError("frames of an animation must not be empty")
    first, *others = [_frame(frame) for frame in frames]
    others = [picture.resize(first.size) for picture in others]
    times = [_FRAME_MILLISECONDS] * len(others) + [_LAST_MILLISECONDS]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=times, loop=0)
    _write(path, buffer.getvalue())


def _frame(path: str | Path) -> Image.Image:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((_MAX_FRAME_WIDTH, picture.height), Image.Resampling.LANCZOS)
    return picture.quantize(128, dither=Image.Dither.NONE)
