"""The model that a training ends with: that of the best evaluation, its draws matched to train."""

import logging
from functools import partial

import torch

from made_exp.datasets.base import Dataset
from made_exp.experiments.proofs import rows_to_fit
from made_exp.model.draw_lengths import has_lengths, match_lengths
from made_exp.model.made import MADE
from made_exp.runtime import derive_seed
from made_exp.settings.experiment import Settings
from made_exp.training.loop import Trainer

_log = logging.getLogger(__name__)
_LENGTH_STREAM = 8


def restore_best_model(trainer: Trainer, dataset: Dataset, settings: Settings) -> None:
    """Give the trainer's model the weights of the best evaluation, and what draws want of them."""
    trainer.keeper.restore_best()
    model = trainer.learner.model
    if settings.trainer.match_lengths and has_lengths(model):
        match = partial(_match, model, dataset, settings.seed)
        trainer.keeper.amend_best("matched_lengths", match)


def _match(model: MADE, dataset: Dataset, seed: int) -> None:
    train = rows_to_fit(dataset)
    if train.isnan().any():  # of rows that were left unknown no length is known
        return
    generator = torch.Generator().manual_seed(derive_seed(seed, _LENGTH_STREAM))
    model.eval()
    shifts = match_lengths(model, train, generator)
    text = "draws matched to the number of ones of train: log-odds shifted by %s"
    _log.info(text, " ".join(f"{shift:+.3f}" for shift in shifts.tolist()))
