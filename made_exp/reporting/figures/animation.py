"""Samples over the course of training, as an animated GIF."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from made_exp.files import atomic_write_bytes


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
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, buffer.getvalue())


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
