"""Arrays of the user's in files: an .npz, a folder of .npy files, or one .npy; read or mapped."""

import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, final

import numpy as np

from made_exp.datasets.base import SPLITS
from made_exp.errors import one_line

WANTED = (*SPLITS, *(f"{split}_labels" for split in SPLITS), "image_shape")
"""Names of the arrays that concern a dataset; `_data` may follow them."""
_IN_MEMORY = 3  # times the bytes of the arrays: as they are and as they are kept
_MOST_GROWTH = 1032  # of what deflate has made small
_LOCAL = 30  # bytes of a zip archive before the name of a member


@final
@dataclass(frozen=True)
class Stored:
    """An array that lies in a file as it lies in memory.

    Attributes:
        file: Whose bytes it is among.
        offset: Where its .npy header begins, in bytes.
    """

    file: str
    offset: int = 0

    def mapped(self) -> np.ndarray:
        """The array, read as it is used; what is written to it stays in memory.

        Raises:
            ValueError: If there is no such array, or one of objects.
        """
        with open(self.file, "rb") as stream:
            stream.seek(self.offset)
            shape, is_fortran, dtype = _header(stream)
            start = stream.tell()
        if dtype.hasobject:
            raise ValueError("an array of pickled objects")
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(
            self.file, dtype, "c", offset=start, shape=shape, order="F" if is_fortran else "C"
        )


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f".npy of version {version}")


def files_of(place: Path) -> list[Path]:
    """The files that hold the arrays at a place, train's first.

    Raises:
        ValueError: If a folder has no train.
    """
    if not place.is_dir():
        return [place]
    found = dict(_members(place))
    if "train" not in found:
        has = ", ".join(found) or "no array"
        raise ValueError(f"dataset.path: folder {place} has no train.npy; it has {has}")
    return [found[name] for name in WANTED if name in found]


def needed_memory(place: Path) -> int:
    """Bytes that the arrays at a place take in memory, about."""
    if not _is_archive(place):
        return _IN_MEMORY * sum(file.stat().st_size for file in files_of(place))
    with _as_read_errors(place), zipfile.ZipFile(place) as archive:
        most = _MOST_GROWTH * place.stat().st_size  # a damaged archive may say anything
        return _IN_MEMORY * min(sum(member.file_size for member in archive.infolist()), most)


def read_arrays(place: Path) -> dict[str, np.ndarray]:
    """The arrays that concern a dataset, with `_data` taken off their names.

    Raises:
        ValueError: If a file is no whole .npz or .npy file, or holds pickled objects, which are
            never opened.
    """
    arrays: dict[str, np.ndarray] = {}
    with _as_read_errors(place):
        if not _is_archive(place):
            return {name: np.load(file, allow_pickle=False) for name, file in _members(place)}
        with open(place, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("a single array; save it as np.savez(path, train=array)")
            with archive:
                for key in archive.files:
                    if (name := key.removesuffix("_data")) in WANTED:
                        arrays[name] = found = archive[key]
                        if not isinstance(found, np.ndarray):
                            raise ValueError(f"'{key}' is no array")
    return arrays


def mapped_arrays(place: Path, stored: Mapping[str, Stored]) -> dict[str, np.ndarray]:
    """The arrays that lie there, mapped.

    Raises:
        ValueError: If they do not, or hold pickled objects.
    """
    with _as_read_errors(place):
        return {name: array.mapped() for name, array in stored.items()}


def stored_arrays(place: Path, staged: Path) -> dict[str, Stored]:
    """Where the same arrays lie; those that are compressed are written into the folder `staged`.

    Raises:
        ValueError: If a file is no whole .npz or .npy file.
    """
    with _as_read_errors(place):
        if not _is_archive(place):
            return {name: Stored(str(file.resolve())) for name, file in _members(place)}
        with zipfile.ZipFile(place) as archive:
            members = [(_name(member.filename), member) for member in archive.infolist()]
            return {
                name: _stored(archive, member, place.resolve(), staged / f"{name}.npy")
                for name, member in members
                if name in WANTED
            }


def _stored(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path, to: Path) -> Stored:
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
        with open(file, "rb") as stream:
            stream.seek(member.header_offset)
            local = stream.read(_LOCAL)
        lengths = (int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
        return Stored(str(file), member.header_offset + _LOCAL + sum(lengths))
    with archive.open(member) as source, open(to, "wb") as copy:
        shutil.copyfileobj(source, copy, 2**20)
    return Stored(str(to))


def _is_archive(place: Path) -> bool:
    return not place.is_dir() and place.suffix.lower() != ".npy"


def _members(place: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of the arrays of a folder; a file alone is train."""
    if not place.is_dir():
        yield "train", place
        return
    for file in sorted(place.glob("*.npy")):
        if (name := _name(file.name)) in WANTED:
            yield name, file


def _name(file: str) -> str:
    return file.removesuffix(".npy").removesuffix("_data")


@contextmanager
def _as_read_errors(place: Path) -> Iterator[None]:
    kind = "folder of .npy" if place.is_dir() else ".npz" if _is_archive(place) else ".npy"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "created on Python 2"
            yield
    except Exception as error:  # what a damaged file makes of its reader
        raise ValueError(f"cannot read {place} as {kind}: {one_line(error)}") from error
