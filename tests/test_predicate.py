import pytest

from made_exp.density.predicate import (
    Comparison,
    Junction,
    Not,
    parse_predicate,
    parse_question,
)
from made_exp.density.tokens import QueryError, as_name


def shown(tree):
    """A tree as a text with all its parentheses."""
    if isinstance(tree, Not):
        return f"not {shown(tree.part)}"
    if isinstance(tree, Junction):
        return "(" + (" and " if tree.is_all else " or ").join(map(shown, tree.parts)) + ")"
    assert isinstance(tree, Comparison)
    return (
        f"[{tree.column.text} {tree.operator} {' ; '.join(v.text for v in tree.values)}]".replace(
            " ]", "]"
        )
    )


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("age >= 65", "[age >= 65]"),
        ("age==65", "[age = 65]"),
        ("age <> 65", "[age != 65]"),
        ("a = 1 or b = 2 and c = 3", "([a = 1] or ([b = 2] and [c = 3]))"),
        ("(a = 1 OR b = 2) AND NOT c = 3", "(([a = 1] or [b = 2]) and not [c = 3])"),
        ("not (a = 1 and b = 2)", "not ([a = 1] and [b = 2])"),
        ("income = '>50K'", "[income = >50K]"),
        ('name = "it""s, (so)"', '[name = it"s, (so)]'),
        ("`marital status` = 'a | b'", "[marital status = a | b]"),
        ("marital status = Never married", "[marital status = Never married]"),
        ("state in {CA, 'N Y', New Jersey}", "[state in CA ; N Y ; New Jersey]"),
        ("state NOT IN {CA}", "[state not in CA]"),
        ("age between 30 and 40 and sex = F", "([age between 30 ; 40] and [sex = F])"),
        ("age not between 30 and 40", "[age not between 30 ; 40]"),
        ("age is missing", "[age missing]"),
        ("age IS NOT MISSING", "not [age missing]"),
        ("price >= $1,234.50", "[price >= $1,234.50]"),
        ("t = 2024-01-05", "[t = 2024-01-05]"),
        ("x < -1.5e-3", "[x < -1.5e-3]"),
        ("'not' = 'and'", "[not = and]"),
    ],
)
def test_predicates_are_read(text, tree):
    assert shown(parse_predicate(text)) == tree


def test_questions_have_conditions_and_measures():
    question = parse_question("age >= 65 and sex = F | state = CA")
    assert shown(question.event) == "([age >= 65] and [sex = F])"
    assert shown(question.condition) == "[state = CA]"
    question = parse_question("quantile(hours per week, 0.9) | sex = F")
    assert (question.measure, question.column.text, question.level) == (
        "quantile",
        "hours per week",
        0.9,
    )
    assert question.event is None
    assert shown(question.condition) == "[sex = F]"
    assert parse_question("MEAN(wage)").measure == "mean"


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("age >= and sex = F", "expected a value after '>=', but there is 'and'", 7),
        ("age >=", "expected a value after '>=', but the text ends", 6),
        ("", "expected a column, but the text ends", 0),
        ("age", "or another test of 'age', but the text ends", 3),
        ('"age > 3"', "ends; without the quotes around all of it: age > 3", 9),
        ("age 65", "or another test of 'age 65'", 6),
        ("(age = 1", "expected ')', 'and' or 'or', but the text ends", 8),
        ("age = 1)", "expected and, or, '|' or the end, but there is ')'", 7),
        ("age = 1 | b = 2 | c = 3", "expected and, or or the end, but there is '|'", 16),
        ("age in (1, 2)", "expected '{' and values, as in {a, b}", 7),
        ("age in {1 2; 3", "expected '}' or ','", 14),
        ("age between 1 or 2", "expected 'and' and the upper value", 14),
        ("age is 3", "expected 'missing' or 'not missing'", 7),
        ("age not = 3", "expected 'in' or 'between' of 'age'", 8),
        ("name = 'abc", "this quote is not closed: '", 7),
        ("means(age)", "'means(' is none of mean, median", 0),
        ("wage (CHF) > 3", "write a name like this in quotes: 'wage (CHF)'", 0),
        ("a = 1 and wage (CHF) > 3", "write a name like this in quotes: 'wage (CHF)'", 15),
        ("wage ( > 3", "'wage(' is none of mean, median, quantile, distribution", 0),
        ("P(a = 1 | b = 2)", "asked for without 'P()': \"a = 1 | b = 2\"", 0),
        ("mean(wage (CHF))", "write a name like this in quotes: 'wage (CHF)'", 10),
        ("is member = 1", "there is 'is'; a name with a keyword in it stands in quotes", 0),
        ("it's = 2", "a name with a quote in it stands in quotes of another kind", 2),
        ("quantile(age)", "expected ',' and a level", 12),
        ("quantile(age, 9)", "the level of a quantile must be a number in 0..1", 14),
        ("age ! 3", "'!' does not belong here", 4),
        ("(" * 100 + "a = 1" + ")" * 100, "more than 100 predicates inside each other", 100),
        ("not " * 1000 + "a = 1", "more than 100 predicates inside each other", 400),
    ],
)
def test_mistakes_are_pointed_at(text, message, place):
    with pytest.raises(QueryError) as caught:
        parse_question(text)
    first, shown_text, mark = str(caught.value).split("\n")
    assert message in first
    assert shown_text == f"  {text}"
    assert mark.index("^") - 2 == place


@pytest.mark.parametrize(
    "name", ["age", "town.name", "hours per week", "it's", "in", "3d", "a'b\"c"]
)
def test_names_are_typed_so_that_they_are_read(name):
    assert parse_predicate(f"{as_name(name)} = 1").column.text == name
    assert as_name("town.name") == "town.name"


def test_a_hundred_predicates_inside_each_other_are_read():
    text = "not (" * 49 + "a = 1" + ")" * 49
    assert shown(parse_predicate(text)).count("not") == 49
