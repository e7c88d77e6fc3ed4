"""A computation shared by processes that live as long as it does."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from made_exp.training.siblings import started
from made_exp.training.world import World

_Value = TypeVar("_Value")


def forked_map(count: int) -> Callable[..., Iterable[Any]]:
    """As `map`, by `count` processes: each computes every count-th value.

    What is computed must leave nothing behind but its value: the others are copies of this one.
    """
    return lambda function, *iterables: _forked(
        count, function, list(zip(*iterables, strict=False))
    )


def _forked(count: int, function: Callable[..., _Value], calls: list[Any]) -> list[_Value]:
    count = max(1, min(count, len(calls)))

    def share(world: World) -> list[list[_Value]] | None:
        return world.gather([function(*call) for call in calls[world.rank :: count]])

    with started(count, share) as world:
        parts = share(world) or []
    return [parts[place % count][place // count] for place in range(len(calls))]
