"""Whatever is typed, the answer is settings or one `error:` line, never a traceback."""

import contextlib
import io
import string
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_exp.cli.command_line import parse_command_line
from made_exp.cli.compose import compose_config
from made_exp.cli.messages import answer, explain
from made_exp.cli.preflight import preflight
from made_exp.cli.resolvers import slug
from made_exp.cli.validate import settings_from
from made_exp.errors import ConfigError
from made_exp.eval import main as made_eval
from made_exp.settings.experiment import OPTIONS, Settings, from_dict, option_fields

KEYS = sorted(
    {f"{group}.{name}" for group, options in OPTIONS.items() for o in options
     for name in option_fields(group, o)}
    | {"seed", "resume", "notes", "notes.x", "experiment", "search", *OPTIONS}
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=12),
    st.text(string.punctuation + "ab01", max_size=8),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["null", "true", "[]", "[1,2]", "{}", "{a:1}", "???", "${seed}", "1,2", "''"]),
    st.sampled_from([option for options in OPTIONS.values() for option in options]),
)
PREFIXES = st.sampled_from(["", "", "", "+", "++", "~"])
OVERRIDES = st.one_of(
    st.text(max_size=20),
    st.builds("{}{}={}".format, PREFIXES, st.sampled_from(KEYS), VALUES),
)
FAST = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settled(arguments):
    """Settings, or None where the arguments are refused in one line."""
    try:
        command = preflight(parse_command_line(arguments))
        return settings_from(compose_config(command, command.overrides))
    except ConfigError as error:
        refusal = error
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        code = answer(refusal)
    assert code == 2
    assert told.getvalue().startswith("error: ")
    assert "Traceback" not in told.getvalue()
    return None


@FAST
@given(st.lists(OVERRIDES, min_size=1, max_size=2))
def test_any_override_is_taken_or_refused_in_one_line(folder, overrides):
    arguments = [text for text in overrides if not text.startswith("-")]
    found = settled(arguments)
    assert found is None or isinstance(found, Settings)
    assert list(folder.iterdir()) == []


@settings(FAST, max_examples=10)
@given(
    lr=st.floats(1e-8, 10),
    sizes=st.lists(st.integers(1, 9000), max_size=4),
    seed=st.integers(0, 2**62),
    dropout=st.floats(0, 0.99),
)
def test_values_in_range_arrive_unchanged(lr, sizes, seed, dropout):
    arguments = [f"optimizer.lr={lr}", f"model.hidden_sizes={sizes}", f"seed={seed}"]
    command = parse_command_line([*arguments, f"model.dropout={dropout}"])
    found = settings_from(compose_config(command, command.overrides))
    assert (found.optimizer.lr, found.model.hidden_sizes) == (lr, sizes)
    assert (found.seed, found.model.dropout) == (seed, dropout)
    assert from_dict(asdict(found)) == found


@given(st.lists(st.text(max_size=100), max_size=5))
def test_any_override_has_a_safe_folder_name(overrides):
    name = slug(overrides)
    assert 0 < len(name) <= 60
    assert set(name) <= set(string.ascii_letters + string.digits + "._+-")
    assert name not in (".", "..")


@given(st.lists(st.one_of(st.text(max_size=20), st.builds("split={}".format, VALUES)), max_size=3))
def test_any_key_value_is_taken_or_refused(arguments):
    with contextlib.suppress(ConfigError):
        made_eval.parse(arguments)


@given(st.text(max_size=60))
def test_a_message_is_kept_but_for_what_helps_nobody(text):
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    noise = ["", "To append to your config use +x", "    full_key: x", "    object_type=Settings"]
    cut = ["Config search path:", "\tprovider=hydra"]
    told = explain(ValueError("\n".join([*lines, *noise, *cut])))
    assert told == ("\n".join(lines) or "the config cannot be composed")
