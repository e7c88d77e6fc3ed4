"""Flags that are settings: `--resume outputs/x` for `resume=outputs/x`."""

from collections.abc import Collection, Mapping, Sequence


def as_setting(
    flag: str, argv: Sequence[str], places: Mapping[str, str], switches: Collection[str]
) -> str:
    """What to write in place of a flag that is a setting, as '; write seed=1'; "" where none is.

    Args:
        flag: As it was typed, with its value or without.
        argv: All that was typed, the flag included.
        places: Settings as they are typed, by their last names.
        switches: Those of the settings that are true or false.
    """
    name, equals, value = flag.lstrip("-").partition("=")
    name = name.replace("-", "_")
    if not flag.startswith("--") or name not in {*places, *places.values()}:
        return ""
    place = places.get(name, name)
    following = argv[argv.index(flag) + 1 :][:1]
    if not equals and following and following[0][:1] != "-" and "=" not in following[0]:
        value = following[0]
    value = value or ("true" if place in switches else "VALUE")
    return f"; settings have no dashes: write {place}={value}"
