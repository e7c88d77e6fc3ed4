"""Checkpoints on disk: whole or absent, two generations of each, tensors and plain values only."""

import logging
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from made_exp.errors import CheckpointError
from made_exp.files import atomic_path

SCHEMA = 3
_KIND = "made-exp checkpoint"
_log = logging.getLogger(__name__)


def previous_generation(path: Path) -> Path:
    """Where the checkpoint that was at `path` before the present one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def exists(path: Path) -> bool:
    """Whether a checkpoint of any generation is at `path`."""
    return path.exists() or previous_generation(path).exists()


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path`; what was there becomes the previous generation.

    At every moment, also after a power failure, one of the two is complete: the new one replaces
    nothing before the disk has it.

    Args:
        path: Ends in .pt.
        content: Tensors, numbers, strings and None in dictionaries and lists.

    Raises:
        CheckpointError: If it cannot be written; what was there before is intact.
    """
    try:
        kept = previous_generation(path)
        with atomic_path(path, previous=kept) as temporary, open(temporary, "wb") as file:
            torch.save({"kind": _KIND, "schema": SCHEMA, **content}, file)
        _flush_names(path.parent)
    except (OSError, RuntimeError) as error:
        left = "Earlier checkpoints are intact" if exists(path) else "No earlier one is there"
        raise CheckpointError(
            f"cannot write checkpoint {path}: {_reason(error)}. {left}"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read the checkpoint at `path`, or the generation before where that one is damaged.

    Tensors arrive on the CPU. Nothing but tensors and plain values is ever loaded, so a file from
    someone else cannot execute anything.

    Raises:
        CheckpointError: If neither generation can be read, or the file is of another version.
    """
    earlier = previous_generation(path)
    try:
        return _read(path)
    except _Damaged as error:
        if not earlier.exists():
            raise CheckpointError(str(error)) from error
        _log.warning("%s; falling back to %s", error, earlier)
    try:
        return _read(earlier)
    except _Damaged as error:
        raise CheckpointError(f"{error}, and {path.name} cannot be read either") from error


def restore_previous(path: Path) -> None:
    """Put the generation before, where there is one, back to `path`; what is there goes."""
    earlier = previous_generation(path)
    if earlier.exists():
        os.replace(earlier, path)


class _Damaged(Exception):
    pass


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise _Damaged(f"checkpoint {path} does not exist")
    try:
        # torch.load does not check the sums that its own files carry.
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise _Damaged(f"checkpoint {path} is damaged (checksum of {bad})")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle, in files that are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _Damaged:
        raise
    except Exception as error:  # a damaged file fails in any layer below
        raise _Damaged(f"checkpoint {path} is damaged or no checkpoint") from error
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise CheckpointError(f"{path} is no checkpoint of made-exp")
    if content.get("schema") != SCHEMA:
        raise CheckpointError(
            f"checkpoint {path} has schema {content.get('schema')}, this version of made-exp reads "
            f"schema {SCHEMA}: use the version that wrote it, or train again"
        )
    return content


def _reason(error: BaseException) -> str:
    """What the system said; of a full disk torch only says that it is not where it should be."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    said = cause.strerror if isinstance(cause, OSError) else None
    return said or str(error).splitlines()[0].rstrip(".")


def _flush_names(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
