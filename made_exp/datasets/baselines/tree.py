"""The best tree over the variables of a table, found exactly (Chow and Liu 1968).

    p(x) = prod_d p_d(x_d) P(l_d | l_parent(d)) / P_d(l_d)

with p_d of `Independent` and l_d the label of x_d: its value, or for numbers the interval and for
rare values the set that it belongs to, P_d(l) its probability under p_d. Inside a label the density
is that of p_d. The parents are the maximum spanning tree over mutual informations of labels, and

    P(b | a) = (n_ab + alpha q(b)) / (n_a + alpha),

with alpha, and q either even, P_d or that of `OrderedLabels`, of each pair so that rows are
predicted best from the others; of two binary variables alpha is 2 PAIR_COUNT.

Legend: N rows, D variables, L labels of each, T those of all, a label of the parent, b the own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Self, final

import torch
from torch import Tensor
from typing_extensions import override

from made_exp.datasets.baselines.coordinates import Rows
from made_exp.datasets.baselines.counting import Independent
from made_exp.datasets.baselines.density import SimpleDensity
from made_exp.datasets.baselines.labels import Labels
from made_exp.datasets.baselines.ordered import OrderedLabels, summed
from made_exp.variables.distributions import categorical_quantile
from made_exp.variables.subset import Subset
from made_exp.variables.variable import Variable

_ROWS = 8192
# Of two values: almost maximum likelihood, as published trees are, but never log 0.
PAIR_COUNT = 0.01
_ALPHAS = (0.02, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)


@final
class ChowLiu(SimpleDensity):
    """The density above, exact in all marginals and conditionals."""

    parents: Tensor
    tables: Tensor

    def __init__(self, variables: Sequence[Variable]) -> None:
        super().__init__(variables)
        self.labels = Labels(Independent(variables))
        self._hold(
            parents=torch.full((len(variables),), -1),  # (D,), -1 of the root
            tables=torch.zeros(len(variables), 1, 1),  # (D, L, L) P(b | a) by d, a, b
        )

    @classmethod
    @torch.no_grad()
    def fit(cls, independent: Independent, codes: Tensor, seed: int = 0) -> Self:
        """Of codes (N, D); NaN is left out. Binary ones may be probabilities of 1."""
        tree = cls(independent.coordinates.variables)
        tree.labels.independent = independent
        tree.labels.fit(codes, seed)
        counts = _pair_counts(tree.labels, codes)
        starts, sizes = tree.labels.starts.long(), tree.labels.sizes.long()
        found, ordered = information(counts, starts), None
        if int(sizes.max()) > 2:  # of binary ones the table says all
            ordered = OrderedLabels.of(tree.labels, counts)
            found = found.maximum(ordered.gains)
        tree.parents = maximum_spanning_tree(found).double()
        tree._fill(counts, ordered)
        return tree

    def _fill(self, counts: Tensor, ordered: OrderedLabels | None) -> None:
        """Find the tables of the tree from the counts (T, T) of pairs."""
        starts, sizes = self.labels.starts.long(), self.labels.sizes.long()
        width = self.labels.log_probs.shape[1]
        self.tables = torch.zeros(len(starts), width, width, dtype=torch.float64)
        for d, parent in enumerate(self.parents.long().tolist()):
            own = self.labels.log_probs[d, : sizes[d]].exp()
            self.tables[d, :, : sizes[d]] = own
            if parent < 0:
                continue
            above, below = (slice(starts[k], starts[k] + sizes[k]) for k in (parent, d))
            priors = [torch.full_like(own, 1 / len(own))[None], own[None]]
            if ordered is not None and ordered.rho[parent, d]:
                rho = float(ordered.rho[parent, d])
                priors.append(ordered.given(above, below, rho, own))
            found = _smoothed(counts[above, below], priors)
            self.tables[d, : sizes[parent], : sizes[d]] = found

    @property
    @override
    def num_classes(self) -> int:
        return self.tables.shape[1]

    @override
    def row_terms(self, rows: Rows) -> Tensor:
        """Given the parent where it is known; what is left is shared by those without one."""
        labels = self.labels.of(rows)
        terms, is_direct = self._direct(rows, labels)
        if not (self._given or bool((labels < 0).any())):
            return terms
        total = self.row_log_prob(rows)
        if self._given:
            is_known = self._is_given & (labels >= 0)
            states = rows.states.where(is_known, -1)
            numeric = self.coordinates.numeric
            numbers = rows.numbers.where(is_known[:, numeric], torch.nan)
            total = total - self.row_log_prob(Rows(states, numbers))
            terms, is_direct = terms.masked_fill(self._is_given, 0.0), is_direct & ~self._is_given
        shares = ((labels >= 0) & ~self._is_given).double()
        indirect = shares * ~is_direct
        shares = torch.where(indirect.any(1, keepdim=True), indirect, shares)
        shares = shares / shares.sum(1, keepdim=True).clamp(min=1)
        left = (total - terms.sum(1)).nan_to_num(0.0, 0.0, 0.0)
        return terms + shares * left[:, None]

    @override
    def row_log_prob(self, rows: Rows) -> Tensor:
        labels = self.labels.of(rows)
        is_whole = (labels >= 0).all(1)
        whole, partly = (flags.nonzero().flatten() for flags in (is_whole, ~is_whole))
        total = labels.new_zeros(len(labels), dtype=torch.float64)
        if len(whole):
            total[whole] = self._direct(rows[whole], labels[whole])[0].sum(1)
        if len(partly):
            own = self.labels.own(labels[partly])
            inside = self.labels.independent.row_terms(rows[partly]) - own
            total[partly] = inside.sum(1) + self._upwards(labels[partly])[1]
        return total

    def _direct(self, rows: Rows, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Terms (N, D) of variables given their parents if these are known; where that is so."""
        parents = self.parents.long()
        above = labels[:, parents.clamp(min=0)]
        is_direct = (labels >= 0) & (above >= 0) & (parents >= 0)
        d = torch.arange(len(parents))
        given = self.tables[d, above.clamp(min=0), labels.clamp(min=0)].log()
        gain = (given - self.labels.own(labels)).where(is_direct, 0.0)
        return self.labels.independent.row_terms(rows) + gain, is_direct

    def _upwards(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What is known at and below each variable, up to a factor: (N, D, L), and its log (N,)."""
        everything = torch.isfinite(self.labels.log_probs).double()
        own = torch.nn.functional.one_hot(labels.clamp(min=0), everything.shape[1]).double()
        return self._gathered(torch.where((labels >= 0)[..., None], own, everything))

    @override
    def box_probs(self, boxes: Sequence[Mapping[int, Subset]]) -> Tensor:
        beliefs = torch.isfinite(self.labels.log_probs).double().repeat(len(boxes), 1, 1)
        shares: dict[tuple[int, Subset], Tensor] = {}
        for row, box in zip(beliefs, boxes, strict=True):
            for d, subset in box.items():
                if (d, subset) not in shares:
                    shares[d, subset] = self.labels.shares_inside(d, subset)
                row[d] = shares[d, subset]
        return self._gathered(beliefs)[1].exp()

    def _gathered(self, beliefs: Tensor) -> tuple[Tensor, Tensor]:
        """As `_upwards`, of what share (N, D, L) of each label is known."""
        parents, order = self.parents.long().tolist(), self._order()
        log_total = beliefs.new_zeros(len(beliefs))
        for d in reversed(order):
            table = self.tables[d] if parents[d] >= 0 else self.tables[d, :1]
            message = beliefs[:, d] @ table.mT
            scale = message.amax(1, keepdim=True).clamp(min=1e-300)
            log_total += scale[:, 0].log()
            if parents[d] >= 0:
                beliefs[:, parents[d]] *= message / scale
        return beliefs, log_total

    def _order(self) -> list[int]:
        """The variables, parents first."""
        parents = self.parents.long().tolist()
        below: dict[int, list[int]] = {}
        for d, parent in enumerate(parents):
            below.setdefault(parent, []).append(d)
        order = list(below.get(-1, []))
        for d in order:
            order.extend(below.get(d, []))
        return order

    @override
    def draw(self, given: Rows, uniforms: Tensor) -> Rows:
        labels = self.labels.of(given)
        beliefs, _ = self._upwards(labels)
        parents = self.parents.long()
        for d in self._order():
            above = labels[:, parents[d]] if parents[d] >= 0 else torch.zeros_like(labels[:, d])
            drawn = categorical_quantile(self.tables[d, above] * beliefs[:, d], uniforms[:, 1 + d])
            labels[:, d] = torch.where(labels[:, d] < 0, drawn, labels[:, d])
        return self.labels.inside(given, labels, uniforms[:, 1 + len(parents) :])


def _pair_counts(labels: Labels, codes: Tensor) -> Tensor:
    """How often labels come together (T, T), where both variables are known."""
    counts = torch.zeros(labels.num_labels, labels.num_labels, dtype=torch.float64)
    singles = torch.zeros(labels.num_labels, dtype=torch.float64)
    for part in codes.split(_ROWS):
        one_hot = labels.one_hot(part)
        counts += one_hot.mT @ one_hot
        singles += one_hot.sum(0, dtype=torch.float64)
    for start, size in zip(labels.starts.long(), labels.sizes.long(), strict=True):
        own = slice(start, start + size)  # of probabilities it would hold their products
        counts[own, own] = torch.diag(singles[own])
    return counts


def information(counts: Tensor, starts: Tensor) -> Tensor:
    """Mutual information (D, D) in nats of each pair, less what chance gives it; 0 with itself.

    From the counts (T, T) of labels, of which those of each variable begin at `starts` (D,).
    """
    sizes = torch.cat([starts[1:], starts.new_tensor([len(counts)])]) - starts
    variable = torch.repeat_interleave(torch.arange(len(starts)), sizes)
    # Rows in which both are known, and with label a of one: they differ by pair.
    above = summed(counts, variable, len(starts))  # (T, D)
    totals = summed(above.mT, variable, len(starts))  # (D, D)
    out = torch.empty_like(totals)
    for d, rows in enumerate(counts.split(sizes.tolist())):
        own = slice(starts[d], starts[d] + sizes[d])
        expected = above[own][:, variable] * above[:, d] / totals[d, variable].clamp(min=1)
        terms = torch.xlogy(rows, rows / expected.clamp(min=1e-300))
        sums = torch.zeros(len(starts), dtype=torch.float64).index_add_(0, variable, terms.sum(0))
        out[d] = sums / totals[d].clamp(min=1)
    chance = torch.outer(sizes - 1, sizes - 1) / (2 * totals.clamp(min=1))
    return (out - chance).fill_diagonal_(0.0)


def _smoothed(counts: Tensor, priors: Sequence[Tensor]) -> Tensor:
    """P(b | a) (L, L') from the counts of pairs and the best of some q(b | a), (L or 1, L')."""
    totals = counts.sum(1, keepdim=True)
    if counts.shape == (2, 2):
        return (counts + PAIR_COUNT) / (totals + 2 * PAIR_COUNT)

    def score(added: Tensor) -> float:
        alpha, left = added.sum(1, keepdim=True), (counts - 1).clamp(min=0) + added
        log_left = (left / ((totals - 1).clamp(min=0) + alpha)).clamp(min=1e-300).log()
        fresh = ((counts + added) / (totals + alpha)).log().mean()  # one row from anywhere
        return float((counts * log_left).sum() + fresh)

    added = max((alpha * prior for alpha in _ALPHAS for prior in priors), key=score)
    return (counts + added) / (totals + added.sum(1, keepdim=True))


def maximum_spanning_tree(weights: Tensor) -> Tensor:
    """Parent (D,) of each node in a maximum spanning tree rooted at node 0; -1 at the root.

    Prim's algorithm on the dense matrix (D, D): D steps of O(D).
    """
    best, parents = weights[0], torch.zeros(len(weights), dtype=torch.long)
    outside = torch.arange(len(weights)) > 0
    for _ in range(len(weights) - 1):
        node = int(best.where(outside, -math.inf).argmax())
        outside[node] = False
        closer = outside & (weights[node] > best)
        best = weights[node].where(closer, best)
        parents[closer] = node
    parents[0] = -1
    return parents
