"""What one line of a class of settings says: default, meaning, range."""

from dataclasses import asdict, dataclass, fields

import pytest

from made_exp.settings.base import MISSING, CheckedSettings, described, setting
from made_exp.settings.commands import EvalSettings, ReportSettings, SampleSettings
from made_exp.settings.experiment import OPTIONS, Settings, from_dict
from made_exp.settings.training import AdamSettings, AnnealSettings, TrainerSettings

OF_GROUPS = [schema for options in OPTIONS.values() for schema in options.values()]
CLASSES = list(dict.fromkeys([*OF_GROUPS, EvalSettings, SampleSettings, ReportSettings]))


@dataclass
class Toy(CheckedSettings):
    count: int | None = setting(3, "how many", at_least=1)
    share: float = setting(0.5, "of the whole", at_least=0, below=1)
    scale: float = setting(1.0, "of the values", above=0)
    sizes: list[int] = setting([4, 4], "of the layers", at_least=1)
    colour: str = setting("red", "of the line", choices=("red", "green"))
    path: str = setting(MISSING, "of the file")


@pytest.mark.parametrize("schema", CLASSES, ids=lambda schema: schema.__name__)
def test_every_setting_says_what_it_means(schema):
    for entry in fields(schema):
        assert entry.name == "name" or entry.metadata["help"], entry.name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, r"count must be >= 1, got 0"),
        ({"share": 1.0}, r"share must be at least 0 and below 1, got 1\.0"),
        ({"share": float("nan")}, r"share must be at least 0 and below 1, got nan"),
        ({"scale": float("inf")}, r"scale must be > 0, got inf"),
        ({"sizes": [3, 0]}, r"sizes must hold numbers >= 1, got \[3, 0\]"),
        ({"colour": "gren"}, r"colour: 'gren' is not one of red, green\. Did you mean 'green'\?"),
    ],
)
def test_what_is_out_of_range_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        Toy(**values)


def test_null_is_in_every_range_and_defaults_are_not_shared():
    assert Toy(count=None).count is None
    Toy().sizes.append(5)
    assert Toy().sizes == [4, 4]


def test_help_tells_defaults_as_they_are_typed():
    assert [entry[:2] for entry in described(Toy)] == [
        ("count", "3"),
        ("share", "0.5"),
        ("scale", "1.0"),
        ("sizes", "[4, 4]"),
        ("colour", "red"),
        ("path", "required"),
    ]
    assert ("colour", "red", "of the line (red green)") in described(Toy)


def test_saved_settings_with_an_unknown_option_or_key_are_refused():
    chosen = {"model": "made", "dataset": "dna", "scheduler": "constant", "ordering": "natural"}
    content = {
        **{group: {"name": name} for group, name in chosen.items()},
        "optimizer": asdict(AdamSettings()),
        "trainer": asdict(TrainerSettings(epochs=7)),
    }
    read = from_dict(content)
    assert isinstance(read, Settings)
    assert read.trainer.epochs == 7
    with pytest.raises(ValueError, match=r"optimizer\.name must be one of adam, .*got 'lion'"):
        from_dict({**content, "optimizer": {"name": "lion"}})
    with pytest.raises(ValueError, match=r"width: not a setting of model=made"):
        from_dict({**content, "model": {"name": "made", "width": 3}})


def test_runs_of_before_that_did_not_use_a_setting_that_is_gone_are_read():
    chosen = {"model": "made", "dataset": "dna", "optimizer": "adam", "ordering": "natural"}
    content = {
        **{group: {"name": name} for group, name in chosen.items()},
        "trainer": asdict(TrainerSettings()),
    }
    old = {**asdict(AnnealSettings(patience=3)), "member_patience": None}
    assert from_dict({**content, "scheduler": old}).scheduler.patience == 3
    used = {**old, "member_patience": 3}
    with pytest.raises(ValueError, match="member_patience: not a setting of scheduler=anneal"):
        from_dict({**content, "scheduler": used})
