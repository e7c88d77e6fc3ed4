"""Datasets: one loader per family, all returning the same record with three named splits."""

from made_exp.datasets.base import SPLITS, Dataset, fingerprint, reference_nll
from made_exp.datasets.download import default_data_dir
from made_exp.datasets.registry import NAMES, load_dataset

__all__ = [
    "NAMES",
    "SPLITS",
    "Dataset",
    "default_data_dir",
    "fingerprint",
    "load_dataset",
    "reference_nll",
]
