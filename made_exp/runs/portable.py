"""A model in one file without pickle: weights beside what is needed to build what they are of."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from made_exp.errors import CheckpointError
from made_exp.files import atomic_write_bytes

SUFFIX = ".safetensors"
_KEY, _VERSION = "made_exp", 1  # one text: of several the format keeps no order
_LONGEST_HEADER = 100_000_000  # of the format


def save_portable(path: Path, weights: Mapping[str, Tensor], told: Mapping[str, Any]) -> None:
    """Write `weights` and, as JSON in the metadata of the file, the plain values `told`.

    Raises:
        CheckpointError: If it cannot be written; what was there before is intact.
    """
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    content = save(tensors, {_KEY: json.dumps({"version": _VERSION, **told})})
    try:
        atomic_write_bytes(path, content)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error


def load_portable(path: Path) -> dict[str, Any]:
    """What `save_portable` was told, and the weights under `model`, on the CPU.

    Tensors and JSON are all that is read, so a file from someone else cannot execute anything.

    Raises:
        CheckpointError: If the file is missing, damaged, of another program or of a version that
            this one does not know.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist")
    try:
        content = _told(path)
        if content is None:
            raise CheckpointError(f"{path} holds no model of made-exp")
        if content["version"] != _VERSION:
            raise CheckpointError(
                f"{path} is of version {content['version']}, this made-exp reads version "
                f"{_VERSION}: use the one that wrote it"
            )
        return {**content, "model": load_file(path)}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, struct.error) as error:
        raise CheckpointError(f"{path} is damaged or no {SUFFIX} file: {error}") from error


def _told(path: Path) -> dict[str, Any] | None:
    """Our text in the header of the file: eight bytes with its length, and JSON."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LONGEST_HEADER, path.stat().st_size):
            raise ValueError("its header is longer than it is")
        header = json.loads(file.read(length))
    text = dict(dict(header).get("__metadata__", {})).get(_KEY)
    return None if text is None else dict(json.loads(text))
