"""Short names of runs: what tells them apart."""

from collections import Counter
from collections.abc import Iterable


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Names without the folders that all share; of a job its number where numbers are unique.

    `{"s/000_lr-1": "000", "s/001_lr-2": "001"}`: what follows are settings, which have columns.
    """
    parts = {name: name.split("/") for name in names}
    folders = [each[:-1] for each in parts.values()]
    shared = 0
    while folders and all(len(each) > shared for each in folders):
        if len({each[shared] for each in folders}) > 1:
            break
        shared += 1
    whole = {name: "/".join(each[shared:]) for name, each in parts.items()}
    heads = {
        name: "/".join([*each[shared:-1], each[-1].partition("_")[0] or each[-1]])
        for name, each in parts.items()
    }
    counts = Counter(heads.values())
    return {name: heads[name] if counts[heads[name]] == 1 else whole[name] for name in parts}
