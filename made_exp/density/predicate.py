"""Questions as people write them, read into a tree: `age >= 65 and sex = F | state = CA`.

    question  := measure ["|" predicate]
    measure   := predicate | NAME "(" COLUMN ["," NUMBER] ")"
    predicate := all ("or" all)*          all := one ("and" one)*
    one       := "not" one | "(" predicate ")" | COLUMN test
    test      := ("=" | "!=" | "<" | "<=" | ">" | ">=") VALUE | ["not"] "in" "{" VALUES "}"
               | ["not"] "between" VALUE "and" VALUE | "is" ["not"] "missing"

Columns and values are words, or stand in quotes; keywords are in small or capital letters.
"""

from dataclasses import dataclass
from typing import final

from made_exp.density.tokens import (
    KEYWORDS,
    OPERATORS,
    QueryError,
    Token,
    as_name,
    error_at,
    tokens_of,
)
from made_exp.errors import did_you_mean

MEASURES = ("mean", "median", "quantile", "distribution")
_PROBABILITY = ("p", "pr", "prob", "probability")
_DEEPEST = 100  # predicates inside each other; Python has room for about 200


@final
@dataclass(frozen=True)
class Text:
    """A column or a value as it was written.

    Attributes:
        text: Without quotes.
        start: Where it stands in the question, and
        end: where it ends.
    """

    text: str
    start: int
    end: int


@final
@dataclass(frozen=True)
class Comparison:
    """What a cell of one column must be.

    Attributes:
        column: Its name.
        operator: =, !=, <, <=, >, >=, in, between, or missing.
        values: What it is compared with: one, those of a set, two ends, or none.
    """

    column: Text
    operator: str
    values: tuple[Text, ...] = ()


@final
@dataclass(frozen=True)
class Not:
    """What is true where its part is not."""

    part: "Predicate"


@final
@dataclass(frozen=True)
class Junction:
    """All, or any, of several parts.

    Attributes:
        is_all: Whether all must hold, or one.
        parts: At least two.
    """

    is_all: bool
    parts: tuple["Predicate", ...]


Predicate = Comparison | Not | Junction


@final
@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        text: As it was written.
        event: Whose probability is asked, or None for a measure.
        condition: What is known, or None.
        measure: One of `MEASURES`, or None.
        column: What is measured.
        level: Of a quantile, in 0..1.
        place: Where it stands, such as "line 3 of 'queries.txt'"; "" where it was typed.
    """

    text: str
    event: Predicate | None
    condition: Predicate | None = None
    measure: str | None = None
    column: Text | None = None
    level: float = 0.5
    place: str = ""


def parse_question(text: str) -> Question:
    """Read a question.

    Raises:
        QueryError: If it is none; with the place.
    """
    return _Parser(text).question()


def parse_predicate(text: str) -> Predicate:
    """Read a predicate; errors as of `parse_question`."""
    parser = _Parser(text)
    found = parser.predicate()
    parser.expect_end("and, or")
    return found


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.at, self.depth = text, tokens_of(text), 0, 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.next
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def error(self, message: str, token: Token | None = None) -> QueryError:
        token = token or self.next
        return error_at(self.text, message, token.start, token.end)

    def expected(self, what: str, hint: str = "") -> QueryError:
        token = self.next
        found = "the text ends" if token.kind == "end" else f"there is '{token.text}'"
        return self.error(f"expected {what}, but {found}{hint}")

    def hint_of_quotes(self, first: Text | Token) -> str:
        """What to do with a name that begins here and has parentheses in it."""
        end = self.text.find(")", first.end) + 1
        if not end:
            return ""
        if first.text.lower() in _PROBABILITY:
            asked = self.text[first.end : end - 1].strip(" (")
            return f"; a probability is asked for without '{first.text}()': \"{asked}\""
        return f"; write a name like this in quotes: {as_name(self.text[first.start : end])}"

    def expect_sign(self, sign: str, after: str = "") -> Token:
        if not self.next.is_sign(sign):
            raise self.expected(f"'{sign}'{after}")
        return self.take()

    def expect_end(self, what: str) -> None:
        if self.next.kind != "end":
            raise self.expected(f"{what} or the end")

    def question(self) -> Question:
        measure = self.measure() if self._is_call() else None
        event = self.predicate() if measure is None else None
        condition = None
        if self.next.is_sign("|"):
            self.take()
            condition = self.predicate()
        self.expect_end("and, or" if condition else "and, or, '|'")
        if measure is None:
            return Question(self.text, event, condition)
        return Question(self.text, None, condition, *measure)

    def _is_call(self) -> bool:
        is_name = self.next.kind == "word" and not self.next.is_keyword(*KEYWORDS)
        return is_name and self.tokens[self.at + 1].is_sign("(")

    def measure(self) -> tuple[str, Text, float]:
        name = self.take()
        if name.text.lower() not in MEASURES:
            hint = did_you_mean(name.text.lower(), MEASURES)
            hint = hint or self.hint_of_quotes(name)
            raise self.error(f"'{name.text}(' is none of {', '.join(MEASURES)}{hint}", name)
        self.take()
        column, level = self.words("a column"), 0.5
        if name.text.lower() == "quantile":
            self.expect_sign(",", " and a level, as in quantile(age, 0.9)")
            level = self.level()
        if self.next.is_sign("("):
            raise self.expected("')'", self.hint_of_quotes(column))
        self.expect_sign(")")
        return name.text.lower(), column, level

    def level(self) -> float:
        token = self.take()
        try:
            level = float(token.text)
        except ValueError:
            level = -1.0
        if not 0 <= level <= 1:
            raise self.error("the level of a quantile must be a number in 0..1", token)
        return level

    def predicate(self) -> Predicate:
        return self._junction(is_all=False)

    def _junction(self, is_all: bool) -> Predicate:
        word = "and" if is_all else "or"
        parts = [self.one() if is_all else self._junction(is_all=True)]
        while self.next.is_keyword(word):
            self.take()
            parts.append(self.one() if is_all else self._junction(is_all=True))
        return parts[0] if len(parts) == 1 else Junction(is_all, tuple(parts))

    def one(self) -> Predicate:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"more than {_DEEPEST} predicates inside each other")
        found = self._part()
        self.depth -= 1
        return found

    def _part(self) -> Predicate:
        if self.next.is_keyword("not"):
            self.take()
            return Not(self.one())
        if self.next.is_sign("("):
            self.take()
            found = self.predicate()
            self.expect_sign(")", ", 'and' or 'or'")
            return found
        return self.test(self.words("a column"))

    def test(self, column: Text) -> Predicate:
        if self.next.is_sign(*OPERATORS):
            operator = self.take().text
            return Comparison(column, operator, (self.words(f"a value after '{operator}'"),))
        if self.next.is_keyword("is"):
            self.take()
            negated = self._takes("not")
            if not self._takes("missing"):
                raise self.expected("'missing'" if negated else "'missing' or 'not missing'")
            found = Comparison(column, "missing")
            return Not(found) if negated else found
        negated = self._takes("not")
        if self._takes("in"):
            return Comparison(column, "not in" if negated else "in", self.values())
        if self._takes("between"):
            low = self.words("a value after 'between'")
            if not self._takes("and"):
                raise self.expected("'and' and the upper value of 'between'")
            high = self.words("a value after 'and'")
            return Comparison(column, "not between" if negated else "between", (low, high))
        allowed = "'in' or 'between'" if negated else f"{', '.join(OPERATORS[:4])} or another test"
        hint = self.hint_of_quotes(column) if self.next.is_sign("(") else ""
        if self.next.kind == "end" and any(sign in column.text for sign in OPERATORS):
            hint = f"; without the quotes around all of it: {column.text}"
        raise self.expected(f"{allowed} of '{column.text}'", hint)

    def _takes(self, keyword: str) -> bool:
        if not self.next.is_keyword(keyword):
            return False
        self.take()
        return True

    def values(self) -> tuple[Text, ...]:
        self.expect_sign("{", " and values, as in {a, b}")
        found = [self.words("a value")]
        while self.next.is_sign(","):
            self.take()
            found.append(self.words("a value after ','"))
        self.expect_sign("}", " or ','")
        return tuple(found)

    def words(self, what: str) -> Text:
        """A text in quotes, or words up to the next keyword or sign."""
        first = self.next
        if first.kind in ("quoted", "name"):
            self.take()
            return Text(first.text, first.start, first.end)
        last = first
        while self.next.kind == "word" and self.next.text.lower() not in KEYWORDS:
            last = self.take()
        if last is first and (first.kind != "word" or first.text.lower() in KEYWORDS):
            is_keyword = first.kind == "word" and what == "a column"
            hint = "; a name with a keyword in it stands in quotes" if is_keyword else ""
            raise self.expected(what, hint)
        return Text(self.text[first.start : last.end], first.start, last.end)
