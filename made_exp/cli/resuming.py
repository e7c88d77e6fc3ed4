"""Going on with a run: `resume=RUN`, and with it what was typed when the run began."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from made_exp.cli.command_line import CONFIG_DIR, CommandLine
from made_exp.errors import ConfigError, did_you_mean
from made_exp.runs.folder import RunDirectory

_WORDS = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
_PATHS = (
    *("dataset.path", "dataset.valid_path", "dataset.test_path", "dataset.loader"),
    "ordering.order",
)
_BY_BUDGET = ("ordering.num_orderings", "ordering.residual")
"""What an experiment may have chosen by `trainer.max_minutes`, which may change."""


def continued(command: CommandLine) -> CommandLine:
    """`command`; where it goes on with a run, with what was typed for that run before its own.

    `resume=RUN` is short for `resume=true hydra.run.dir=RUN`. What is typed now wins, and is
    checked as any setting that differs from those of the run.

    Raises:
        ConfigError: If RUN is no folder of a run.
    """
    asked = next((o for o in reversed(command.parsed) if o.key_or_group == "resume"), None)
    value = None if asked is None or asked.is_sweep_override() else asked.value()
    texts = command.overrides
    if isinstance(value, str) and value.lower() not in _WORDS:
        folder = _folder_of_run(value, command)
        pairs = zip(texts, command.parsed, strict=True)
        texts = [text for text, override in pairs if override is not asked]
        texts += ["resume=true", f"hydra.run.dir={_quoted(str(folder))}"]
        command = command.of(texts)
    given = command.value_of("hydra.run.dir")
    if command.multirun or given is None or command.value_of("resume") in (None, "false"):
        return command
    run = RunDirectory(given.strip("'\""))
    began = _typed_for(run)
    if began and began[0].startswith(f"{CONFIG_DIR}="):
        command = command.with_config_dir(began.pop(0).partition("=")[2])
    saved = run.saved_config() or {}
    placed = [_placed(text, saved) for text in began]
    typed = {override.key_or_group for override in command.parsed}
    keys = (*_PATHS, *_BY_BUDGET) if "trainer.max_minutes" in typed else _PATHS
    before = command.of([*placed, *_values_of(saved, keys, besides=placed)])
    pairs = zip(before.overrides, before.parsed, strict=True)
    kept = [text for text, override in pairs if override.key_or_group not in typed]
    return command.of([*kept, *texts])


def _folder_of_run(value: str, command: CommandLine) -> Path:
    if command.multirun:
        raise ConfigError(
            f"resume={value} is for one run; with -m: resume=true hydra.sweep.dir=DIR"
        )
    if command.value_of("hydra.run.dir") is not None:
        raise ConfigError(f"resume={value} and hydra.run.dir both name a run; leave one out")
    folder = Path(value)
    if not RunDirectory(folder).config.is_file():
        parent = folder.parent
        others = [path.parent.name for path in parent.glob("*/config.json")]
        hint = did_you_mean(folder.name, others) or did_you_mean(value, _WORDS)
        raise ConfigError(
            f"resume: '{value}' is neither true nor false nor a folder of a run{hint}"
        )
    return folder


def _typed_for(run: RunDirectory) -> list[str]:
    """What the run was started with after the name; [] where that is not known."""
    command = run.typed()
    return shlex.split(command)[1:] if command else []


def _values_of(saved: dict[str, Any], keys: Sequence[str], besides: Sequence[str]) -> Iterator[str]:
    """Overrides for some settings as a run has them, `besides` those that are given already.

    So a file that an experiment named lies where it was found then, whatever folder one is in now.
    """
    given = {_key(text) for text in besides}
    for key in keys:
        value = _saved_value(saved, key)
        if key not in given and isinstance(value, str | int | float):
            yield f"{key}={_quoted(value) if isinstance(value, str) else value}"


def _key(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def _saved_value(saved: dict[str, Any], key: str) -> Any:
    group, _, name = key.partition(".")
    return saved.get(group, {}).get(name)


def _placed(text: str, saved: dict[str, Any]) -> str:
    """The override, with the file that was found then whatever folder one is in now."""
    key = _key(text)
    if key not in _PATHS or (value := _saved_value(saved, key)) is None:
        return text
    items = [_quoted(item) if isinstance(item, str) else str(item) for item in _as_list(value)]
    return f"{key}=[{','.join(items)}]" if isinstance(value, list) else f"{key}={items[0]}"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _quoted(text: str) -> str:
    """A text in Hydra's quotes; JSON's are the same but for what they do to letters."""
    return json.dumps(text, ensure_ascii=False)
