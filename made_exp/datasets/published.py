"""Test likelihoods that others have reported on the datasets that can be downloaded."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Published:
    """A number of somebody else's.

    Attributes:
        nll: Nats per example of test.
        model: What reached it.
        is_seen: Whether it was read in a table or computed from a log; otherwise it is from
            memory of a paper, and to be confirmed before it is relied on.
    """

    nll: float
    model: str
    is_seen: bool = True

    def __str__(self) -> str:
        return f"{self.nll:.2f}{'' if self.is_seen else '*'} ({self.model})"


_CIRCUIT = "best of circuits and mixtures"
# Table -> the best that was seen, and the best from memory of papers where that is lower.
_DEBD: dict[str, tuple[float, float | None]] = {
    "nltcs": (6.00, 5.99),
    "msnbc": (6.06, 6.03),
    "kdd": (2.14, 2.12),
    "plants": (12.67, 12.26),
    "baudio": (39.62, 39.02),
    "jester": (52.38, 51.93),
    "bnetflix": (56.21, 55.31),
    "accidents": (26.55, None),
    "tretail": (10.84, 10.81),
    "pumsb_star": (22.75, 22.40),
    "dna": (79.05, None),
    "kosarek": (10.59, 10.55),
    "msweb": (9.73, 9.60),
    "book": (33.53, None),
    "tmovie": (50.54, 48.69),
    "cwebkb": (150.84, 147.75),
    "cr52": (85.95, 81.17),
    "c20ng": (151.99, 148.17),
    "bbc": (249.05, 240.19),
    "ad": (16.07, 14.42),
}

_OTHERS = {
    "adult": (Published(13.12, "MADE"),),
    "connect4": (Published(11.99, "NADE"), Published(11.68, "RWS-NADE", False)),
    "dna": (Published(79.66, "MADE, mask sampling"), Published(82.31, "EoNADE")),
    "mushrooms": (Published(9.68, "MADE", False), Published(9.40, "BiHM", False)),
    "nips": (
        Published(277.28, "MADE, mask sampling", False),
        Published(271.11, "RWS-NADE", False),
    ),
    "ocr_letters": (Published(27.22, "NADE"), Published(26.43, "RWS-NADE", False)),
    "rcv1": (Published(46.74, "MADE, mask sampling", False), Published(46.12, "EoNADE", False)),
    "web": (Published(28.25, "MADE, mask sampling", False), Published(27.87, "EoNADE", False)),
    "binarized_mnist": (
        Published(88.40, "MADE, 1 x 8000"),
        Published(85.10, "EoNADE"),
        Published(84.65, "NADE-k"),
    ),
}


def published(dataset: str, table: str | None = None) -> tuple[Published, ...]:
    """What is known of `dataset`, and of its `table` where it has several; () where nothing is."""
    if dataset != "debd":
        return _OTHERS.get(dataset, ())
    seen, remembered = _DEBD.get(table or "", (None, None))
    found = (Published(seen, _CIRCUIT),) if seen is not None else ()
    return (*found, Published(remembered, _CIRCUIT, False)) if remembered is not None else found
