"""Ask a finished run for probabilities: `made-query --help`."""

import sys
from dataclasses import replace
from pathlib import Path

from made_exp.cli.key_value import Command
from made_exp.density.predicate import Question, parse_question
from made_exp.density.tokens import each_of
from made_exp.errors import ConfigError
from made_exp.settings.commands import QuerySettings


def query(settings: QuerySettings) -> str:
    """Answer all questions; the answers to print."""
    questions = questions_of(settings)
    from made_exp.experiments.querying import query_run  # torch is imported only here

    return query_run(settings, questions)


def questions_of(settings: QuerySettings) -> list[Question]:
    """The questions of the command line, and after them those of the file, read.

    Raises:
        ConfigError: If there are none, or some cannot be read.
    """
    placed = [(text, "") for text in settings.queries]
    if settings.file is not None:
        placed += [
            (line, f"line {number} of '{settings.file}'")
            for number, line in enumerate(_lines(Path(settings.file)), start=1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
    if not placed:
        where = "" if settings.file is None else f" in '{settings.file}'"
        raise ConfigError(
            f'nothing is asked{where}: write a question, such as "age >= 65 | sex = F"'
        )
    texts, places = zip(*placed, strict=True)
    questions = each_of(texts, parse_question, places)
    return [
        replace(question, place=place) for question, place in zip(questions, places, strict=True)
    ]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(
            f"file: '{file}' is no text in UTF-8; write a question a line into it"
        ) from None


main = Command(
    "made-query",
    QuerySettings,
    query,
    (
        'run=outputs/runs/RUN "age >= 65 and sex = F | state = CA"',
        "run=outputs/runs/RUN \"income = '>50K'\" \"income = '>50K' | age < 30\" rows=48842",
        'run=outputs/runs/RUN "mean(wage) | sex = F" "quantile(wage, 0.9)" json=true',
        'run=outputs/runs/RUN "distribution(age) | state in {CA, NY}" path=age.png',
        "run=outputs/runs/RUN file=queries.txt num_samples=5000 seed=1 path=answers.csv",
    ),
    positional="queries",
)

if __name__ == "__main__":
    sys.exit(main())
