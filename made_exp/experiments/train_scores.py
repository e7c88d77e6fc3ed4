"""Where the rows of train lie, so that the rank of a new row among them is known."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from made_exp.errors import ConfigError, DownloadError
from made_exp.experiments.finished import FinishedRun
from made_exp.files import atomic_write_arrays
from made_exp.model.evaluation import batched

# A rank is known to 1 in so many rows.
MAX_ROWS = 10_000
_FILE = "train_scores.npz"
_log = logging.getLogger(__name__)


def train_scores(run: FinishedRun) -> Tensor | None:
    """Log-probabilities of at most 10,000 rows of train, rising; None where these are not there.

    Computed once for a model and kept in the folder of the run.
    """
    key = _digest(run.model)
    file = None if run.path.is_file() else run.path / _FILE
    if file is not None and (kept := _read(file, key)) is not None:
        return kept
    try:
        x, context = run.examples("train")
    except (ConfigError, DownloadError, OSError) as error:
        _log.warning("the rank of rows among train is not known: %s", error)
        return None
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MAX_ROWS]
    labels = None if context is None else context[order]
    with torch.no_grad():
        scores = batched(run.model, x[order], labels, 1000, run.model.log_prob)
    scores = scores.cpu().double().sort().values
    if file is not None:
        atomic_write_arrays(file, {"log_prob": scores.numpy(), "model": np.array(key)})
    return scores


def rank_among(scores: Tensor, log_probs: Tensor) -> Tensor:
    """Share (N,) of scores (T,), rising, that are below each of log_probs (N,); NaN of NaN."""
    below = torch.searchsorted(scores, log_probs.contiguous()).double() / len(scores)
    return below.masked_fill(log_probs.isnan(), torch.nan)


def _read(file: Path, key: str) -> Tensor | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            fits = str(kept["model"]) == key
            return torch.from_numpy(kept["log_prob"]) if fits else None
    except (OSError, ValueError, KeyError):
        return None


def _digest(model: Any) -> str:
    """What tells the weights of a model from others."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
