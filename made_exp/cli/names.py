"""Names of columns as people type them, in Hydra's grammar, which knows few letters.

Quoted keys of dictionaries get backslashes; those with letters that Hydra has no way to write in a
key, or that it takes for numbers and the like, are percent-encoded behind a mark, and decoded when
the settings are made. Bare words in lists of texts are quoted.
"""

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote, unquote

T = TypeVar("T")

_FREE = re.compile(r"(?P<key>notes|dataset\.kinds|dataset\.arguments)[.=]")
"""Overrides of dictionaries whose keys are the user's: any key is new to Hydra."""
_TEXTS = re.compile(r"dataset\.(?:drop|columns|context|missing_values)=\[")
_DOTTED = re.compile(
    r"""(?a)dataset\.kinds\.(?![A-Za-z_][\w-]*=)(?P<name>[^={}"']+)=(?P<kind>\w+)"""
)
"""One kind, of a column whose name is more than one word of a path."""
_KEY = re.compile(
    r"""(?<=[{,])\s*(?:(["'])(?P<quoted>(?:\\.|(?!\1).)*)\1|(?P<bare>[^{}\[\]"',:]+))\s*(?=:)"""
)
_ESCAPED = re.compile(r"""(?P<half>\\*)(?P=half)(?:\\(?P<quote>["'])|$)""")
"""Of a quoted text: backslashes that stand for half as many, as in Hydra."""
_NO_NAME = re.compile(r"(?i)[+-]?(?:[.\d]|(?:inf|nan)$)|(?:null|true|false)$|@@")
"""What Hydra may take for a number or the like; of what begins with a digit a bit too much."""
_ITEM = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s\[\],"'][^\[\],"']*""")
_UNSPEAKABLE = re.compile(r"[^\s!-~]|[!#&;<>^`~\"']")
_MARK = "@@"


def as_hydra_has_it(override: str) -> str:
    """The override, such that Hydra's grammar and its structured configs take it."""
    if dotted := _DOTTED.fullmatch(override):
        override = f"dataset.kinds={{{dotted['name']}: {dotted['kind']}}}"
    if free := _FREE.match(override):
        # Hydra wants '++' before new keys, and backslashes where people quote.
        encodes = free["key"] == "dataset.kinds"
        return f"++{_KEY.sub(lambda found: _key(found, encodes), override)}"
    if _TEXTS.match(override):
        key, _, value = override.partition("=")
        return f"{key}={_ITEM.sub(_item, value)}"
    return override


def _key(found: re.Match[str], encodes: bool) -> str:
    is_bare = found["quoted"] is None
    name = found["bare"].strip() if is_bare else _ESCAPED.sub(_unescaped, found["quoted"])
    if encodes and (_UNSPEAKABLE.search(name) or _NO_NAME.match(name)):
        return _MARK + quote(name, safe="")
    if is_bare:
        return found[0]
    return re.sub(r"[\\()\[\]{}:=, \t]", r"\\\g<0>", name)


def _unescaped(found: re.Match[str]) -> str:
    return found["half"] + (found["quote"] or "")


def _item(found: re.Match[str]) -> str:
    text = found[0].rstrip()
    is_bare = text[0] not in "\"'" and "\\" not in text and "${" not in text
    return f'"{text}"' if is_bare else found[0]


def as_typed(values: Mapping[str, T]) -> dict[str, T]:
    """The same values by the names that were typed."""
    return {
        unquote(name.removeprefix(_MARK)) if name.startswith(_MARK) else name: value
        for name, value in values.items()
    }


def in_words(text: str) -> str:
    """A text about a setting, with the name in it that was encoded as it was typed."""
    return re.sub(rf"(?<=kinds\.){_MARK}([\w%.~-]+)", lambda found: unquote(found[1]), text)
