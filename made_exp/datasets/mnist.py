"""MNIST and Fashion-MNIST, binarized in one of three ways, and the published binarized MNIST."""

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import SPLITS, Dataset, binarized
from made_exp.datasets.download import GZIP_MAGIC, Checksum, digest_problem, fetch
from made_exp.variables.variable import binary_variables

NUM_VALID = 10_000  # the last of the 60000 training images, as in the literature
# The draw of binarization=fixed, and of valid and test of binarization=dynamic, never changes.
BINARIZATION_SEED = 0


@dataclass(frozen=True)
class _Source:
    """Where a set of IDX files comes from: mirrors, and the MD5 of each decompressed file."""

    mirrors: tuple[str, ...]
    md5: dict[str, str]
    class_names: tuple[str, ...]


_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_MNIST_MD5 = (
    "6bbc9ace898e44ae57da46a324031adb",
    "a25bea736e30d166cdddb491f175f624",
    "2646ac647ad5339dbf082846283269ea",
    "27ae3e4e09519cfbb04c329615203637",
)
_FASHION_MD5 = (
    "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "9018921c3c673c538a1fc5bad174d6f9",
    "8181f5470baa50b63fa0f6fddb340f0a",
    "15d484375f8d13e6eb1aabb0c3f46965",
)
SOURCES = {
    "mnist": _Source(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        dict(zip(_FILES, _MNIST_MD5, strict=True)),
        tuple("0123456789"),
    ),
    "fashion_mnist": _Source(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        dict(zip(_FILES, _FASHION_MD5, strict=True)),
        ("T-shirt", "trouser", "pullover", "dress", "coat")
        + ("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
BINARIZED_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
BINARIZED_SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}


def load(name: str, *, seed: int, data_dir: Path, binarization: str, context: str) -> Dataset:
    """MNIST digits or Fashion-MNIST clothes, 28x28, 50000 / 10000 / 10000; downloaded.

    Args:
        name: One of SOURCES.
        seed: Not used: every draw here is the same for all runs, so that results compare.
        data_dir: The data folder.
        binarization: "threshold": 1 where grey > 127.5; "fixed": one Bernoulli(grey / 255) draw
            per pixel; "dynamic": training images stay grey levels, drawn afresh in every epoch,
            valid and test are the fixed draw. These are three different datasets.
        context: "labels" to condition on the class, "none" to leave it.

    Raises:
        ValueError: If a file cannot be had.
    """
    del seed
    grey = _three_splits(name, "images-idx3", data_dir)
    x = {split: _binarize(part.flatten(1), split, binarization) for split, part in grey.items()}
    labels: dict[str, Any] = {}
    if context == "labels":
        y = _three_splits(name, "labels-idx1", data_dir)
        labels = {"labels": y, "num_classes": 10, "class_names": SOURCES[name].class_names}
    return Dataset.of_splits(
        name,
        binary_variables(x["train"].shape[1]),
        x,
        image_shape=(28, 28),
        dynamic_binarization=binarization == "dynamic",
        note=f"binarization={binarization}",
        **labels,
    )


def load_binarized(*, seed: int, data_dir: Path) -> Dataset:
    """The fixed binarized MNIST of Larochelle (Salakhutdinov and Murray 2008), downloaded.

    50000 / 10000 / 10000 images, from `binarized_mnist/`; the published draws for any seed.
    """
    del seed
    x = {}
    for split, digest in BINARIZED_SHA256.items():
        name = f"binarized_mnist_{split}.amat"
        path = data_dir / "binarized_mnist" / name
        file = fetch([BINARIZED_URL + name], path, Checksum("sha256", digest))
        content = np.frombuffer(file.read_bytes(), np.uint8)  # digits between white space
        x[split] = torch.from_numpy(content[content > ord(" ")] - ord("0")).reshape(-1, 784)
    return Dataset.of_splits("binarized_mnist", binary_variables(784), x, image_shape=(28, 28))


def _three_splits(name: str, kind: str, data_dir: Path) -> dict[str, Tensor]:
    """Images (N, 28, 28) or labels (N,) by split; the last of the training files are valid."""
    whole, test = (_read_idx(name, f"{part}-{kind}", data_dir) for part in ("train", "t10k"))
    return {"train": whole[:-NUM_VALID], "valid": whole[-NUM_VALID:], "test": test}


def _binarize(grey: Tensor, split: str, binarization: str) -> Tensor:
    """0/1 images (N, 784) uint8 from grey levels 0..255; grey as it is where it is drawn later."""
    if binarization == "dynamic" and split == "train":
        return grey
    if binarization == "threshold":
        return (grey > 127).to(torch.uint8)
    return binarized(grey, BINARIZATION_SEED + SPLITS.index(split))


def _read_idx(name: str, part: str, data_dir: Path) -> Tensor:
    """The uint8 array of an IDX file, gzipped or not; downloaded if neither is there and right."""
    source = SOURCES[name]
    checksum = Checksum("md5", source.md5[part], decompressed=True)
    file = data_dir / name / f"{part}-ubyte"
    if not file.is_file() or digest_problem(file, checksum) is not None:
        urls = [f"{mirror}{part}-ubyte.gz" for mirror in source.mirrors]
        file = fetch(urls, file.with_name(f"{part}-ubyte.gz"), checksum)
    content = file.read_bytes()
    if content[:2] == GZIP_MAGIC:
        content = gzip.decompress(content)
    start = 4 + 4 * content[3]  # two zeros, the type, the number of axes, the length of each
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
