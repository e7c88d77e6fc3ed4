"""Checkpoints on disk: whole or absent, two generations of each, tensors and plain values only."""

import logging
import os
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from made_exp.errors import CheckpointError
from made_exp.files import atomic_path
from made_exp.runs.spare_file import SpareFile
from made_exp.runs.weight_blocks import make_dense

SCHEMA = 3
_KIND = "made-exp checkpoint"
_log = logging.getLogger(__name__)


def previous_generation(path: Path) -> Path:
    """Where the checkpoint that was at `path` before the present one is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_checkpoint(
    path: Path,
    content: Mapping[str, Any],
    *,
    flush: bool = True,
    keep: bool = True,
    spare: SpareFile | None = None,
) -> None:
    """Write `content` to `path`.

    At every moment `path` is the old or the new checkpoint, complete: to every process at once,
    and after a power failure too where both were flushed.

    Args:
        path: Ends in .pt.
        content: Tensors, numbers, strings and None in dictionaries and lists.
        flush: Whether to wait until the disk has it.
        keep: Whether what was there becomes the previous generation.
        spare: Written over, if there is such a file; holds the one that is no longer needed then.

    Raises:
        CheckpointError: If it cannot be written; what was there before is intact.
    """
    try:
        with atomic_path(path, flush=False) as temporary:
            if spare is not None:
                spare.move_to(temporary)
            with open(temporary, "r+b" if temporary.exists() else "wb") as file:
                torch.save({"kind": _KIND, "schema": SCHEMA, **content}, file)
                file.truncate()
            if flush:
                _flush(temporary)  # before anything on disk changes
            keeps = keep and path.exists()
            if spare is not None:
                spare.hold(previous_generation(path) if keeps else path)
            if keeps:
                _keep(path, previous_generation(path))
        if flush:
            _flush(path.parent)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot write checkpoint {path}: {_reason(error)}. Earlier checkpoints are intact"
        ) from error


def _reason(error: BaseException) -> str:
    """What the system said; of a full disk torch only says that it is not where it should be."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    said = cause.strerror if isinstance(cause, OSError) else None
    return said or str(error).splitlines()[0].rstrip(".")


def share_checkpoint(path: Path, other: Path, *, keep: bool = True) -> None:
    """Make `other` the checkpoint at `path` as well: a second name, or else a copy.

    Args:
        path: A checkpoint.
        other: At every moment what was there, or what is at `path`.
        keep: Whether what was there becomes the previous generation.

    Raises:
        CheckpointError: If that is refused; both files are as they were.
    """
    try:
        with atomic_path(other, flush=False) as temporary:
            try:
                os.link(path, temporary)
            except OSError:  # a file system without hard links
                shutil.copyfile(path, temporary)
            if keep and other.exists():
                _keep(other, previous_generation(other))
    except OSError as error:
        raise CheckpointError(f"cannot write checkpoint {other}: {error.strerror}") from error


def flush_checkpoint(path: Path) -> None:
    """Wait until the disk has what is at `path`, if anything is.

    Raises:
        CheckpointError: If the disk refuses.
    """
    try:
        if path.exists():
            _flush(path)
            _flush(path.parent)
    except OSError as error:
        raise CheckpointError(f"cannot flush checkpoint {path}: {error.strerror}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read the checkpoint at `path`, or the generation before where that one is damaged.

    Tensors arrive on the CPU, weights dense. Nothing but tensors and plain values is ever loaded,
    so a file from someone else cannot execute anything.

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


def exists(path: Path) -> bool:
    """Whether a checkpoint of any generation is at `path`."""
    return path.exists() or previous_generation(path).exists()


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
        if isinstance(content, dict) and content.get("kind") == _KIND:
            make_dense(content)
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


def _keep(path: Path, earlier: Path) -> None:
    """Make `earlier` the file now at `path`, which stays where it is."""
    temporary = earlier.with_name(f".{earlier.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # a file system without hard links
        os.replace(path, earlier)
        return
    os.replace(temporary, earlier)


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
