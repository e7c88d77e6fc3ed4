"""The look that all pictures share, and how they become arrays, PNG files and animations."""

import io
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
BLUE, ORANGE = "#2463ae", "#d9660a"
INK, MUTED, GRID, BAR = "#1f2430", "#5b6472", "#e3e6ea", "#c9d1dc"


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure of `width` x `height` pixels, drawn without any global state."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose place is given in pixels from the figure's upper left corner."""
    full_width, full_height = figure.get_size_inches() * DPI
    bottom = full_height - top - height
    place = (left / full_width, bottom / full_height, width / full_width, height / full_height)
    return figure.add_axes(place)


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


def plain(text: str) -> str:
    """`text` with the dollar signs escaped that would start mathematics."""
    return text.replace("$", r"\$")


def style(
    axes: Axes, title: str = "", x_label: str = "", y_label: str = "", **title_options: Any
) -> None:
    """Give `axes` a title, labels, a light grid behind the data and two spines."""
    options: dict[str, Any] = {
        "fontsize": 10.5,
        "color": INK,
        "loc": "left",
        "pad": 8,
    } | title_options
    axes.set_title(plain(title), **options)
    axes.set_xlabel(plain(x_label), fontsize=9.5, color=INK)
    axes.set_ylabel(plain(y_label), fontsize=9.5, color=INK)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=3)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b4bac4")


def add_legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame, where something was labelled."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=9, frameon=False, labelcolor=INK, **options)


def render(figure: Figure, path: str | Path | None = None) -> np.ndarray:
    """Draw `figure`; return it as (height, width, 3) uint8 and save it where a path is given."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    if path is not None:
        save_png(path, image)
    return image


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


def animation(
    frames: Sequence[np.ndarray | str | Path],
    path: str | Path,
    *,
    seconds_per_frame: float = 0.3,
    last_seconds: float = 2.0,
    max_width: int = 900,
) -> None:
    """Write frames as a GIF that repeats, and rests on the last frame.

    Args:
        frames: Pictures (height, width, 3) uint8, or paths of PNG files, in order.
        path: Where to write, atomically.
        seconds_per_frame: How long each frame is shown.
        last_seconds: How long the last frame is shown.
        max_width: Wider frames are shrunk to this many pixels.

    Raises:
        ValueError: If there are no frames.
    """
    if not frames:
        raise ValueError("frames of an animation must not be empty")
    first, *others = [_frame(frame, max_width) for frame in frames]
    others = [picture.resize(first.size) for picture in others]
    durations = [round(1000 * seconds_per_frame)] * len(others) + [round(1000 * last_seconds)]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    _write(path, buffer.getvalue())


def _frame(frame: np.ndarray | str | Path, max_width: int) -> Image.Image:
    if isinstance(frame, np.ndarray):
        picture = Image.fromarray(frame)
    else:
        with Image.open(frame) as file:
            picture = file.convert("RGB")
    if picture.width > max_width:
        height = round(picture.height * max_width / picture.width)
        picture = picture.resize((max_width, height), Image.Resampling.LANCZOS)
    return picture.quantize(128, dither=Image.Dither.NONE)
