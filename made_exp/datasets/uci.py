"""The eight binary tables of the MADE paper (Germain et al. 2015, section 6.1)."""

from pathlib import Path

from made_exp.datasets.arrays import read_arrays
from made_exp.datasets.base import SPLITS, Dataset
from made_exp.datasets.download import Checksum, fetch
from made_exp.datasets.inference import infer_variables
from made_exp.datasets.registry import DATASETS
from made_exp.datasets.tables import check_table, to_tensor

_REPOSITORY = (
    "https://raw.githubusercontent.com/mgermain/MADE/"
    "514849eb9451311c02049f9e2d9a17fac589996a/datasets/"
)
_RELEASE = "https://github.com/mgermain/MADE/releases/download/ICML2015/"


# SHA-256 of each file, or the shorter id of its git blob; None where neither is published.
DIGESTS = {
    "adult": "7ad832613f0972219961ce0060540d7c3ff324e0ec69b5ce2ad0babda9eddd10",
    "connect4": "4685318ab6aabc98eec09b93ad4fa5debc24ec93",
    "dna": "df2d2e7ce1469edfead15e41024e108d64f1b4633cfecfc40ef7107cc22c895c",
    "mushrooms": "4130f1defa3033911fe746a3ab1bb22b0c812bb29e68391a0fbc2d65bab6ae74",
    "nips": "dbf3b659a49670957c0851971bd51ff952a657f010581d12f6c1e2dca8907b20",
    "ocr_letters": "b472383a2ddeddbc87b4e3019a3bd47736bddb37",
    "rcv1": None,
    "web": "a565424fc5782cb99d79788618cd6c332440a8a1",
}


def load(name: str, *, seed: int, data_dir: Path) -> Dataset:
    """Read `uci/NAME.npz`, downloading it when it is not there; the published splits for any seed.

    Raises:
        ValueError: If the file cannot be had, or is not the binary table it should be.
    """
    del seed
    digest, known = DIGESTS[name], DATASETS[name]
    base, checksum = _RELEASE, None
    if digest is not None:
        base = _REPOSITORY
        checksum = Checksum("sha256" if len(digest) == 64 else "git-blob", digest)
    file = fetch([f"{base}{name}.npz"], data_dir / "uci" / f"{name}.npz", checksum)
    arrays = read_arrays(file)
    missing = [split for split in SPLITS if split not in arrays]
    if missing:
        raise ValueError(f"{file} has no array '{missing[0]}_data'")
    tables = {split: check_table(arrays[split], f"'{split}' of {file}") for split in SPLITS}
    variables = infer_variables(tables, str(file))
    x = {split: to_tensor(table, variables) for split, table in tables.items()}
    dataset = Dataset.of_splits(name, variables, x, image_shape=known.image_shape)
    if not dataset.is_binary or dataset.num_dims != known.num_dims:
        raise ValueError(f"{file} is not a binary table of {known.num_dims} columns")
    return dataset
