"""The score of the validation split while a model is trained, and the weights of its mixture."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import final

import torch
from torch import Tensor

from made_exp.datasets.base import Dataset
from made_exp.datasets.parts import some_rows
from made_exp.errors import REMEDY, DivergedError
from made_exp.experiments.outliers import refuse_impossible
from made_exp.model.entry import rows_at_once, scored
from made_exp.model.evaluation import Evaluation, batched, distinct, evaluate, fit_mixture
from made_exp.model.made import MADE
from made_exp.settings.experiment import Settings
from made_exp.training.sharing import Shares


@final
class Validation:
    """Fits the weights of a model's mixture to the validation split and scores it.

    Of a model of several members each process scores the members that it trains; what comes
    together in the main one are log-probabilities, from which it has the weights.

    Where networks have latent classes, an example is scored by its own class alone, which costs
    one pass in place of one a class, and is a bound that training closes:

        -log pi_k(x) p(x | k(x)) >= -log sum_k pi_k p(x | k).

    Args:
        model: Also where it has one member.
        dataset: Its validation split is scored.
        settings: Orderings and batch size of evaluations.
        fits: Whether weights are fitted, if the model's are.
    """

    def __init__(
        self, model: MADE, dataset: Dataset, settings: Settings, *, fits: bool = True
    ) -> None:
        self.model, self.dataset = model, dataset
        self._fits = fits and model.mixture.fits
        num_rows = len(dataset.valid)
        count = min(settings.trainer.valid_examples or num_rows, num_rows)
        context = dataset.valid_context
        self.x = some_rows(dataset.valid, count)
        self.context = None if context is None else some_rows(context, count)
        self.batch_size = settings.trainer.eval_batch_size
        wanted, every = settings.ordering.valid_orderings, model.num_orderings
        self.num_orderings = min(wanted + model.num_fixed, every) if wanted else every
        self._rows, self._places = (self.x, None) if context is not None else distinct(self.x)
        self._labels = model.labels(self._rows.to(model.device))

    @property
    def num_scored(self) -> int:
        """Examples that are scored, counted for each density anew."""
        latent = max(1, self.model.num_latent)
        return len(self.x) * -(-self.num_orderings // latent)

    def __call__(self, shares: Shares) -> Evaluation | None:
        """The evaluation, in the main process; None in others.

        Raises:
            TrainingError: If an example has no probability.
            DivergedError: If the numbers of a member overflow.
        """
        by_member = len(self.model.members) > 1 or self.model.num_latent
        valid = self._of_members(shares) if by_member else self._of_orderings()
        if valid is not None and not valid.log_probs.isfinite().all():
            whole = evaluate(
                self.model,
                self.dataset.valid,
                context=self.dataset.valid_context,
                batch_size=self.batch_size,
            )
            refuse_impossible(self.model, self.dataset, "valid", whole)
        return valid

    def _of_members(self, shares: Shares) -> Evaluation | None:
        count, mixture = self.num_orderings, self.model.mixture
        own = {member: rows for member in shares.own if len(rows := self._of_member(member))}
        for member, rows in own.items():
            if rows.isnan().any():
                raise DivergedError(
                    f"training diverged: member {member} of {len(self.model.members)} has the "
                    f"validation NLL nan. {REMEDY}"
                )
        found = shares.collect(own.get)
        if found is None:
            return None
        own_rows = torch.cat([rows for rows in found if rows is not None])
        joint = own_rows if self._extras is None else torch.cat([own_rows, self._extras])
        if self._fits:
            mixture.fit(joint)
        return Evaluation.from_log_probs(mixture.log_prob(joint), self.model.num_modelled, count)

    def _of_orderings(self) -> Evaluation:
        score: Callable[..., Evaluation] = evaluate
        if self._fits:
            extras = None if self._extras is None else self._extras.to(self.model.device)
            score = partial(fit_mixture, of_extras=extras)
        return score(
            self.model,
            self.x,
            context=self.context,
            num_orderings=self.num_orderings,
            batch_size=self.batch_size,
        )

    def _of_member(self, member: int) -> Tensor:
        """Those (M, N) of the components of a member that are scored."""
        indices = self.model.indices_of(member, self.num_orderings)
        if self._labels is not None and indices:
            return self._of_own_classes(indices[0], self._labels)
        rows = [self._row(index) for index in indices]
        return torch.stack(rows) if rows else torch.empty(0, len(self.x))

    @torch.no_grad()
    def _of_own_classes(self, index: int, labels: Tensor) -> Tensor:
        """Log-probabilities (K, N) under the K classes of a network, -inf where not of that class.

        Its first component has this index.
        """
        model, component = self.model, replace(self.model.component(index), label=None)
        rows = rows_at_once(component.network)

        def score(batch: Tensor, context: Tensor | None) -> Tensor:
            return scored(model.groups, batch, context, component.log_prob, model.device, rows)

        own = batched(model, self._rows, labels, self.batch_size, score).cpu()
        by_class = own.new_full((model.num_latent, len(own)), -torch.inf)
        return self._of_all(by_class.scatter(0, labels.cpu()[None], own[None]))

    @torch.no_grad()
    def _row(self, index: int) -> Tensor:
        """Log-probabilities (N,) float64 of valid under one density of the mixture, in nats."""
        score = partial(self.model.ordering_log_prob, index=index)
        return self._of_all(
            batched(self.model, self._rows, self.context, self.batch_size, score).cpu()
        )

    def _of_all(self, scores: Tensor) -> Tensor:
        """Scores (.., N) of all rows, from those of the different ones."""
        return scores if self._places is None else scores[..., self._places]

    @cached_property
    def _extras(self) -> Tensor | None:
        """Rows (E, N) of the simple densities, which training does not change."""
        rows = [self._row(index) for index in range(-len(self.model.extras), 0)]
        return torch.stack(rows) if rows else None
