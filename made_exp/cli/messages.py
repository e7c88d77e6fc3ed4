"""What is said when something is wrong: one line of our own words with the nearest right word."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from threading import Timer
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from made_exp.cli.command_line import extra_hint, own_data
from made_exp.errors import (
    JobFailure,
    TrainingError,
    did_you_mean,
    is_the_disks,
    is_users_mistake,
    one_line,
)
from made_exp.settings.experiment import (
    OPTIONS,
    Settings,
    defaults_of,
    known_settings,
    option_fields,
)

FULL_ERROR = "HYDRA_FULL_ERROR"
"""Environment variable: 1 shows the traceback of every error."""
_FILES_OF_SETTINGS = ("experiment", "search")
_NO_PACKAGE = "the file must begin with '# @package _global_', for its keys are those of the root"
_SEVERAL = r"Ambiguous value for argument '(.+)'|Sweep parameters '(.+)' requires --multirun"
_TYPES = {"Float": "a float", "Integer": "an integer", "Path": "a path"}


def answered(command: Callable[[], int]) -> int:
    """The exit code of `command`, whatever it raises, after an answer on stderr.

    0 = done; 1 = a job failed; 2 = a mistake in the input, nothing written; 130 = Ctrl-C;
    141 = the reader of its output has gone.
    """
    try:
        with _no_interrupt_lost():
            code = command()
        sys.stdout.flush()
        return code
    except JobFailure as failure:
        return answer(failure.error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python would say so once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        return answer(error)


@contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """A Ctrl-C that came where Python cannot raise it, as in a destructor, comes again."""
    usual, again = sys.unraisablehook, list[Timer]()

    def hook(lost: Any) -> None:
        if lost.exc_type is not KeyboardInterrupt:
            usual(lost)
            return
        again.append(Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)))
        again[-1].start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        for timer in again:
            timer.cancel()


def answer(error: BaseException) -> int:
    """Say on stderr what `error` is about; the exit code.

    One line for a mistake of the user and for a run that diverged, a traceback for everything
    else, and for everything where the user has set HYDRA_FULL_ERROR=1.
    """
    mistake = is_users_mistake(error) or _is_about_config(error)
    stopped = isinstance(error, TrainingError) or is_the_disks(error) or _is_about_database(error)
    if os.environ.get(FULL_ERROR) == "1" or not (mistake or stopped):
        traceback.print_exception(error)
    if mistake or stopped:
        text = explain(error) if _is_about_config(error) else _text(error)
        print(f"error: {text}", file=sys.stderr)
    return 2 if mistake else 1


def _text(error: BaseException) -> str:
    if _is_about_database(error):
        return f"the database of the search (hydra.sweeper.storage): {str(error).splitlines()[0]}"
    # A message in several lines is kept as it is.
    return one_line(error) if isinstance(error, OSError) else str(error) or one_line(error)


def _is_about_config(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("hydra", "omegaconf", "yaml")


def _is_about_database(error: BaseException) -> bool:
    return type(error).__module__.split(".")[0] in ("sqlalchemy", "sqlite3")


def explain(error: BaseException) -> str:
    """The message for what `error`, raised while composing, complains about."""
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    cause = error.__cause__ or error.__context__
    where = re.match(r"In '([^']+)': .* while composing config", str(error))
    if isinstance(error, HydraException) and isinstance(cause, OmegaConfBaseException):
        prefix = f"in {where[1]}: " if where else ""
        return prefix + _wrong_value(cause) + (_way_out(where[1], cause) if where else "")
    if isinstance(error, OmegaConfBaseException):
        return _wrong_value(error)
    if isinstance(error, MarkedYAMLError):
        return _malformed(error)
    misplaced = re.search(r"Could not override '\w+@(\w+)\.", str(error))
    if misplaced and misplaced[1] in _FILES_OF_SETTINGS:
        return f"in {misplaced[1]}/: {_NO_PACKAGE}"
    if several := re.match(_SEVERAL, str(error)):
        return _only_with_m(several[1] or several[2])
    return _without_noise(str(error))


def _only_with_m(override: str) -> str:
    """What to say of values a,b,c, or of a choice of some, where there is one run."""
    key, _, value = override.lstrip("+").partition("=")
    is_list = "(" not in value and any(isinstance(one, list) for one in defaults_of(key))
    hint = f"; one list: '{key}=[{value}]'" if is_list else ""
    return f"{override}: several values need -m{hint}"


def _malformed(error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{mark.name}, line {mark.line + 1}: " if mark else ""
    return f"{place}not YAML: {error.problem or error.context}"


def _way_out(file: str, cause: OmegaConfBaseException) -> str:
    """What to do where an experiment sets what the option that was chosen beside it has not."""
    folder, _, name = file.rpartition("/")
    group = str(cause.full_key or "").rpartition(".")[0]
    option = _option_of(group, cause) if folder == "experiment" and group in OPTIONS else None
    return f". Leave out {group}={option}, or experiment={name}" if option else ""


def _missing_option(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file or "")
    group, _, option = missing.rpartition("/")
    if not group:
        return _without_noise(str(error))
    if group.split("/")[0] == "dataset" and (how := own_data(missing.removeprefix("dataset/"))):
        return f"no option '{missing.removeprefix('dataset/')}' in group 'dataset'; write {how}"
    options = list(error.options or [])
    if group.startswith("hydra/"):  # Presets of ours are chosen by the names of the plugins.
        options = [name for name in options if not name.startswith("made_")]
    if not options:
        options = list(OPTIONS.get(group, {}))
    have = f" (have: {', '.join(options)})" if options else ""
    hint = extra_hint(group, option) or did_you_mean(option, options)
    return f"no option '{option}' in group '{group}'{have}{hint}"


def _wrong_value(error: OmegaConfBaseException) -> str:
    key, text = str(error.full_key or error.key or ""), str(error.msg or error)
    value = error.value
    first = text.splitlines()[0] if text else type(error).__name__
    if re.match(r"Key '.*' (is )?not in ", first):
        return _unknown_key(error, key)
    if found := re.search(r"could not be converted to (\w+)", first):
        return f"{key}: '{value}' is not {_TYPES.get(found[1], found[1])}"
    if "is not a valid bool" in first:
        return f"{key}: '{value}' is not true or false"
    if "is not a ListConfig" in first:
        return f"{key}: {value} is not a list; write {key}=[{value}]"
    if re.search(r"Key .* is incompatible with \(str\)", first):
        return f"{key}: a name is wanted; write {key}=VALUE"
    if re.match(r"Cannot merge DictConfig with ListConfig", first):
        return f"{key} is a list; write {key}=[VALUE]"
    if re.match(r"Cannot (merge DictConfig|assign .* to Dict)", first):
        return f"{key} is a dictionary; write '{key}={{NAME: VALUE}}'"
    if re.match(r"Cannot convert '(dict|DictConfig)' to string", first):
        outer, _, name = key.rpartition(".")
        return f"{key}: a text is wanted; a name with dots: '{outer}={{{name}.MORE: VALUE}}'"
    if "not Optional" in first:
        return f"{key} must not be null"
    return f"{key}: {first}" if key else first


def _unknown_key(error: OmegaConfBaseException, path: str) -> str:
    schema = error.object_type
    group, _, field = path.rpartition(".")
    if group in OPTIONS:
        return not_of_option(group, field, _option_of(group, error))
    names = [entry.name for entry in fields(schema)] if is_dataclass(schema) else []
    known: dict[str, str] = {}
    if schema is Settings:
        path = field = path.split(".")[0]
        if path in _FILES_OF_SETTINGS:
            return _NO_PACKAGE
        names += [*_FILES_OF_SETTINGS, "hydra"]
        known = known_settings()
    known |= {name: name for name in names}
    return f"unknown key '{path}'{did_you_mean(field, known)}"


def not_of_option(group: str, field: str, option: str | None) -> str:
    """What to say of a setting that `option` of `group` does not have."""
    known = option_fields(group, option) if option else []
    others = [name for name in OPTIONS[group] if field in option_fields(group, name)]
    is_near = get_close_matches(field, known, 1, 0.8) or not others
    where = did_you_mean(field, known) if is_near else f". It exists in: {', '.join(others)}"
    chosen = f"{group}={option}" if option else group
    settings = ", ".join(known) or "it has none"
    return f"'{field}' is not a setting of {chosen} ({settings}){where}"


def _option_of(group: str, error: OmegaConfBaseException) -> str | None:
    try:
        name = str(error.parent_node._get_node("name")._value())
    except AttributeError:
        return None
    return name if name in OPTIONS[group] else None


def _without_noise(text: str) -> str:
    # The search path, the advice to use '+' and OmegaConf's own coordinates help nobody here.
    kept = []
    for line in text.splitlines():
        if line.startswith("Config search path"):
            break
        noise = re.match(
            r"\s*(To append to your config|full_key:|object_type=|reference_type=)", line
        )
        if line.strip() and not noise:
            kept.append(line.rstrip())
    return "\n".join(kept) or "the config cannot be composed"
