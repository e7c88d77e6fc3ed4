"""The words of a question about columns, and where each stands."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

from made_exp.errors import ConfigError

KEYWORDS = frozenset({"and", "or", "not", "in", "between", "is", "missing"})
OPERATORS = ("<=", ">=", "==", "!=", "<>", "<", ">", "=")
_SPELLINGS = {"==": "=", "<>": "!="}
_QUOTES = "'\"`"
_MARKS = "(){}|,"
_Asked = TypeVar("_Asked")
_Told = TypeVar("_Told")


class QueryError(ConfigError):
    """A question that cannot be answered as it stands; the message points at the place."""


@final
@dataclass(frozen=True)
class Token:
    """One word or sign.

    Attributes:
        kind: word, quoted (text in quotes), name (in backticks), sign (of `OPERATORS` or one of
            (){}|,), or end.
        text: What it says, without quotes.
        start: Its first letter in the question, and
        end: the one after its last.
    """

    kind: str
    text: str
    start: int
    end: int

    def is_keyword(self, *words: str) -> bool:
        """Whether it is one of these keywords, in small or capital letters."""
        return self.kind == "word" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        """Whether it is one of these signs."""
        return self.kind == "sign" and self.text in signs


def tokens_of(question: str) -> list[Token]:
    """The words and signs of a question, an end after the last.

    Raises:
        QueryError: If a quote is not closed.
    """
    found = list(_tokens(question))
    return [*found, Token("end", "", len(question.rstrip()), len(question.rstrip()))]


def as_name(text: str) -> str:
    """A column or a value as it is typed in a question: in quotes where it is no plain word."""
    if re.fullmatch(r"[^\W\d][\w.-]*", text) and text.lower() not in KEYWORDS:
        return text
    quote = next((quote for quote in _QUOTES if quote not in text), "'")
    return quote + text.replace(quote, 2 * quote) + quote


def error_at(question: str, message: str, start: int, end: int | None = None) -> QueryError:
    """An error that shows where in the question it is."""
    shown = "".join(" " if letter in "\n\t\r" else letter for letter in question)
    mark = "^" * max(1, (end or start + 1) - start)
    return QueryError(f"{message}\n  {shown}\n  {' ' * start}{mark}")


def each_of(
    questions: Sequence[_Asked], ask: Callable[[_Asked], _Told], places: Sequence[str]
) -> list[_Told]:
    """What `ask` makes of each question; places (as many) say where they stand, or "".

    Raises:
        QueryError: If it raised one of any; of several it tells all.
    """
    found, errors = list[_Told](), list[str]()
    for question, place in zip(questions, places, strict=True):
        try:
            found.append(ask(question))
        except QueryError as error:
            errors.append(f"{place}: {error}" if place else str(error))
    if errors:
        many = f"{len(errors)} of {len(questions)} questions cannot be answered\n"
        raise QueryError((many if len(errors) > 1 else "") + "\n".join(errors))
    return found


def _tokens(question: str) -> Iterator[Token]:
    at, braces = 0, 0
    while at < len(question):
        letter = question[at]
        if letter.isspace():
            at += 1
            continue
        if letter in _QUOTES:
            token = _quoted(question, at)
        elif operator := next((o for o in OPERATORS if question.startswith(o, at)), None):
            token = Token("sign", _SPELLINGS.get(operator, operator), at, at + len(operator))
        elif letter in _MARKS:
            braces += {"{": 1, "}": -1}.get(letter, 0)
            token = Token("sign", letter, at, at + 1)
        else:
            token = _word(question, at, braces > 0)
        yield token
        at = token.end


def _quoted(question: str, start: int) -> Token:
    """What is in quotes; a quote that is doubled inside stands for itself."""
    quote, at, text = question[start], start + 1, ""
    while at < len(question):
        if question[at] == quote:
            if question[at + 1 : at + 2] != quote:
                return Token("name" if quote == "`" else "quoted", text, start, at + 1)
            at += 1
        text += question[at]
        at += 1
    is_inside = start > 0 and question[start - 1].isalnum()
    hint = "; a name with a quote in it stands in quotes of another kind" if is_inside else ""
    raise error_at(question, f"this quote is not closed: {quote}{hint}", start)


def _word(question: str, start: int, in_braces: bool) -> Token:
    """Letters up to a space or a sign; a comma belongs to a number such as 1,200."""
    pattern = r"[^\s(){}|,<>=!'\"`]+" if in_braces else r"(?:[^\s(){}|,<>=!'\"`]|,(?=\d))+"
    match = re.compile(pattern).match(question, start)
    if match is None:
        raise error_at(question, f"'{question[start]}' does not belong here", start)
    return Token("word", match[0], start, match.end())
