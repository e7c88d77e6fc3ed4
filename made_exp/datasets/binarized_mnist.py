"""The fixed binarized MNIST of Larochelle (Salakhutdinov and Murray 2008): 784 pixels of 0/1."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.download import Checksum, fetch
from made_exp.variables.variable import binary_variables

_URL = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
_SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
NUM_DIMS = 784


def load(*, seed: int, data_dir: Path) -> Dataset:
    """50000 / 10000 / 10000 images, from `binarized_mnist/`, downloaded when not there.

    Args:
        seed: Not used: the draws are the published ones.
        data_dir: The data folder.
    """
    del seed
    x = {split: _read_split(split, data_dir) for split in _SHA256}
    return Dataset(
        name="binarized_mnist",
        variables=binary_variables(NUM_DIMS),
        train=x["train"],
        valid=x["valid"],
        test=x["test"],
        image_shape=(28, 28),
    )


def _read_split(split: str, data_dir: Path) -> Tensor:
    name = f"binarized_mnist_{split}.amat"
    checksum = Checksum("sha256", _SHA256[split])
    return read_amat(fetch([_URL + name], data_dir / "binarized_mnist" / name, checksum), NUM_DIMS)


def read_amat(path: Path, num_dims: int) -> Tensor:
    """Read a text file of digits 0 and 1 separated by white space, one example a line.

    Returns:
        (N, num_dims) uint8.

    Raises:
        ValueError: If there is anything else in it, with the line.
    """
    content = np.frombuffer(path.read_bytes(), np.uint8)
    digits = content[content > ord(" ")] - np.uint8(ord("0"))
    if len(digits) == 0 or len(digits) % num_dims or digits.max() > 1:
        bad = int(np.argmax(digits > 1)) if len(digits) and digits.max() > 1 else len(digits)
        raise ValueError(
            f"{path} must hold lines of {num_dims} digits 0 or 1; line {bad // num_dims + 1} is not"
        )
    return torch.from_numpy(digits.reshape(-1, num_dims).copy())
