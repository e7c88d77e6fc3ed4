"""A finished run that teaches: another network is trained on rows drawn from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset, binarize, fingerprint
from made_exp.errors import ConfigError
from made_exp.experiments.finished import FinishedRun
from made_exp.model.evaluation import Evaluation, evaluate, paired_difference
from made_exp.runtime import derive_seed
from made_exp.settings.experiment import Settings

_DRAW_STREAM = 7


@final
@dataclass(frozen=True, eq=False)
class Teacher:
    """The distribution p that a network q learns, together with the training rows.

        -(1 - s) E_p[log q] - s mean_train(log q), with the share s of rows of train,

    is least where q is the mixture of both. Draws are never the same twice, so that q hardly learns
    rows by heart; rows of train say what p does not know. Nothing comes from a hidden state.

    Attributes:
        run: Whose model is p.
        dataset: The data of both.
        settings: Of q.
    """

    run: FinishedRun
    dataset: Dataset
    settings: Settings

    @classmethod
    def of(cls, settings: Settings, dataset: Dataset, device: torch.device) -> Self | None:
        """The teacher that `settings` name, on `device`; None where they name none.

        Raises:
            ConfigError: If it learned from other data than `dataset`.
        """
        if settings.teacher is None:
            return None
        run = FinishedRun(settings.teacher, str(device))
        if run.data["fingerprint"] != fingerprint(dataset):
            raise ConfigError(
                f"teacher: {settings.teacher} learned from other data than dataset="
                f"{settings.dataset.name} holds: leave out dataset=..., its own are then taken"
            )
        return cls(run, dataset, settings)

    def draw(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The rows (N, D) of an epoch, in data space, and their class labels (N,) or None."""
        trainer, train, labels = self.settings.trainer, self.dataset.train, None
        generator = torch.Generator().manual_seed(
            derive_seed(self.settings.seed, _DRAW_STREAM, epoch)
        )
        chosen = torch.randint(len(train), (trainer.draws,), generator=generator)
        real = train[chosen[: round(trainer.real_share * trainer.draws)]]
        if self.dataset.dynamic_binarization:
            real = binarize(real, torch.rand(real.shape, generator=generator))
        count = trainer.draws - len(real)
        if self.dataset.train_context is not None:
            labels = self.dataset.train_context[chosen]
        context = None if labels is None else labels[len(real) :]
        x = self.run.model.sample(count, generator=generator, context=context)
        return torch.cat([real, x.to("cpu", train.dtype)]), labels

    def compared(self, evaluation: Evaluation) -> dict[str, Any]:
        """What results.json says of it, beside `evaluation` of the network on the same split."""
        own, split = self._evaluation, self.dataset.scored
        loss, stderr = paired_difference(evaluation.log_probs, own.log_probs)
        return {
            "run": str(self.settings.teacher),
            split: own.as_dict(),
            "loss": {"nll": loss, "nll_stderr": stderr},
        }

    @cached_property
    def _evaluation(self) -> Evaluation:
        split = self.dataset.scored
        return evaluate(
            self.run.model,
            self.dataset.split(split),
            context=self.dataset.context(split),
            batch_size=self.settings.trainer.eval_batch_size,
        )
