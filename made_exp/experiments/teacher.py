"""A finished run that teaches: another network is trained on rows drawn from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, final

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset, fingerprint
from made_exp.errors import ConfigError
from made_exp.experiments.finished import FinishedRun
from made_exp.model.evaluation import Evaluation, evaluate, paired_difference
from made_exp.runtime import derive_seed
from made_exp.settings.experiment import Settings

_DRAW_STREAM = 7


@final
@dataclass(frozen=True, eq=False)
class Teacher:
    """The distribution p that a network q learns by -E_p[log q], least where q = p.

    Nothing is drawn twice, so that q cannot learn rows by heart, and nothing from a hidden state.

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
        count, train = self.settings.trainer.draws, self.dataset.train
        seed = derive_seed(self.settings.seed, _DRAW_STREAM, epoch)
        generator = torch.Generator().manual_seed(seed)
        labels = self.dataset.train_context
        if labels is not None:
            labels = labels[torch.randint(len(labels), (count,), generator=generator)]
        x = self.run.model.sample(count, generator=generator, context=labels)
        return x.to(train.dtype), labels

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
