"""What other packages reach on a binary table in so many minutes, in environments of their own.

`python recipe_peers.py PEER TABLE.npz MINUTES` prints the numbers as JSON. It imports nothing of
made_exp.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Splits = dict[str, np.ndarray]
_HIDDEN = 16  # categories of each latent variable of the HCLT


def mostlyai(splits: Splits, minutes: float) -> np.ndarray:
    """Log-probabilities (N,) of test by TabularARGN, without its protection of rare values."""
    import pandas as pd
    from mostlyai.engine import TabularARGN

    def frame(rows: np.ndarray) -> Any:
        return pd.DataFrame(rows.astype(int), columns=[f"v{d}" for d in range(rows.shape[1])])

    train = frame(np.concatenate([splits["train"], splits["valid"]]))  # it makes its own valid
    types = dict.fromkeys(train.columns, "TABULAR_CATEGORICAL")
    model = TabularARGN(
        tgt_encoding_types=types, max_training_time=minutes, value_protection=False, random_state=0
    )
    model.fit(train)
    return np.asarray(model.log_prob(frame(splits["test"])))


def spflow(splits: Splits, minutes: float) -> np.ndarray:
    """Log-probabilities (N,) of test by a hidden Chow-Liu tree, EM until valid or time ends it."""
    import torch
    from spflow.learn.expectation_maximization import expectation_maximization
    from spflow.zoo.hclt import learn_hclt_binary

    started, best, kept = time.monotonic(), -np.inf, {}
    torch.manual_seed(0)
    data = {name: torch.as_tensor(rows, dtype=torch.float32) for name, rows in splits.items()}
    model = learn_hclt_binary(data["train"], num_hidden_cats=_HIDDEN)

    def score(rows: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            parts = [model.log_likelihood(part).flatten() for part in rows.split(1000)]
        return torch.cat(parts)

    while time.monotonic() - started < 60 * minutes:
        expectation_maximization(model, data["train"], max_steps=1)
        valid = float(score(data["valid"]).mean())
        if not valid > best:  # or NaN
            break
        best = valid
        kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(kept)
    return score(data["test"]).numpy()


PEERS: dict[str, Callable[[Splits, float], np.ndarray]] = {"mostlyai": mostlyai, "spflow": spflow}


def main(peer: str, file: str, minutes: str) -> None:
    """Fit one peer to train and print its test NLL (nats) and seconds, scoring included."""
    with np.load(file) as arrays:
        splits = {name: arrays[name] for name in ("train", "valid", "test")}
    started = time.monotonic()
    log_probs = PEERS[peer](splits, float(minutes)).astype(float)
    seconds = time.monotonic() - started
    stderr = float(log_probs.std(ddof=1) / np.sqrt(len(log_probs)))
    test = {"nll": -float(log_probs.mean()), "nll_stderr": stderr}
    print(json.dumps({"test": test, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
