"""Names of the user's own, such as those of columns, in the words of Hydra's grammar and back."""

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

_OWN = ("notes", "dataset.kinds")
"""Settings that are dictionaries whose keys are the user's: any key is new to Hydra."""
_GIVEN = re.compile(r"(notes|dataset\.kinds)[.=]")
_KIND = re.compile(r"dataset\.kinds\.(?P<name>.+)=(?P<kind>[a-z]+)", re.DOTALL)
_QUOTED = r"""(?P<quote>["'])(?P<quoted>(?:\\.|(?!(?P=quote)).)*)(?P=quote)"""
_BARE = r"""(?P<bare>[^\s"'{},:](?:[^"'{},]*[^\s"'{},:])?)"""
_QUOTED_NAME = re.compile(rf"(?<=[{{,])\s*{_QUOTED}\s*(?=:)", re.DOTALL)
# What a column holds is one word, so that its name may be anything before that.
_ANY_NAME = re.compile(rf"(?<=[{{,])\s*(?:{_QUOTED}|{_BARE})\s*(?=:\s*\w+\s*[,}}])", re.DOTALL)
_ESCAPED = re.compile(r"[\\()\[\]{}:=, \t]")
_UNSPEAKABLE = re.compile(r"[^ \t!-~]|[!#&;<>^`~\"']")
_SPELLED = re.compile(r"__u([0-9a-f]{1,6})__")
_LIKE_A_VALUE = re.compile(r"[+-]?[\d.].*|null|true|false|[+-]?(nan|inf)", re.IGNORECASE)
_WORDS = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'\[\]{},()=:][^"'\[\]{},()=:]*""")


def spoken(override: str) -> str:
    """An override as Hydra's grammar can read it.

    Words beyond ASCII are put in quotes, and keys that are the user's are marked as new. What the
    grammar has no way to write in a key is spelled by its number, as in `__u e9__` without the
    space; `restore_names` reads that again.
    """
    if _GIVEN.match(override):
        return f"++{_with_quotes(_with_names(override))}"
    return _with_quotes(override)


def restore_names(cfg: DictConfig) -> None:
    """Give the user's own keys in a composed config the names that were typed."""
    for key in _OWN:
        node = OmegaConf.select(cfg, key, throw_on_missing=False)
        if isinstance(node, DictConfig) and any(map(_SPELLED.search, map(str, node))):
            plain = OmegaConf.to_container(node, resolve=True)
            OmegaConf.update(cfg, key, _restored(plain), merge=False)


def _with_names(override: str) -> str:
    kind = _KIND.fullmatch(override)
    if kind and not re.fullmatch(r"[A-Za-z_]\w*", kind["name"], re.ASCII):
        return f"dataset.kinds={{{_spelled(kind['name'])}: {kind['kind']}}}"
    pattern = _ANY_NAME if override.startswith("dataset.kinds=") else _QUOTED_NAME
    return pattern.sub(_name, override)


def _name(found: re.Match[str]) -> str:
    parts = found.groupdict()
    if parts["quoted"] is not None:
        return _spelled(parts["quoted"].replace("\\" + parts["quote"], parts["quote"]))
    return _spelled(re.sub(r"\\(.)", r"\1", parts["bare"]))


def _spelled(name: str) -> str:
    start = _number(name[0]) + name[1:] if _LIKE_A_VALUE.fullmatch(name) else name
    spelled = _UNSPEAKABLE.sub(lambda found: _number(found[0]), start)
    return _ESCAPED.sub(r"\\\g<0>", spelled)


def _number(char: str) -> str:
    return f"__u{ord(char):x}__"


def _restored(content: Any) -> Any:
    if not isinstance(content, dict):
        return content
    return {
        _SPELLED.sub(lambda found: chr(int(found[1], 16)), str(key)): _restored(value)
        for key, value in content.items()
    }


def _with_quotes(override: str) -> str:
    """The override with quotes around the words of its value that are not ASCII."""
    key, equals, value = override.partition("=")
    if value.isascii():
        return override
    return f"{key}{equals}{_WORDS.sub(_in_quotes, value)}"


def _in_quotes(found: re.Match[str]) -> str:
    word = found[0]
    if word.isascii() or word[0] in "\"'":
        return word
    return f'"{word.rstrip()}"' + word[len(word.rstrip()) :]
