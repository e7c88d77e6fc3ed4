"""The text of made-train --help: groups, options, settings, examples."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from made_exp.cli.resolvers import conf_dir
from made_exp.errors import ConfigError, did_you_mean
from made_exp.masks.fixed_orders import ORDERS, SCANS
from made_exp.settings.base import described
from made_exp.settings.experiment import OPTIONS

_GROUPS = (*OPTIONS, "experiment", "search")
_HEADER = """\
made-train: train one masked autoencoder, or with -m a sweep of them.

usage: made-train [GROUP=OPTION ...] [GROUP.SETTING=VALUE ...] [-m] [FLAGS]

Groups and their options (* = default); made-train --help GROUP explains them and their settings:
"""
_FOOTER = """\
Top level: teacher=RUN trains on rows drawn from a finished run too (experiment=distil);
  seed=0, resume=false, notes.ANYTHING=...; describe=true only shows the columns;
  checks=warn ends a run whose check of its own numbers fails, with results marked as unchecked
Sweeps: -m with values a,b,c; hydra/launcher=joblib|submitit_local|submitit_slurm|ray|ray_train;
  hydra/sweeper=basic|optuna (with search=MODEL for a ready search space)
Flags: -m sweep; --cfg job shows the config; --info defaults; --config-dir DIR adds options of
  your own; -sc install=bash prints shell completion; --hydra-help has the rest

Examples:
  made-train dataset=mnist ordering=random optimizer.lr=3e-4
  made-train experiment=made_mnist trainer.device=cuda
  made-train dataset=npz dataset.path=table.npz trainer.epochs=50
  made-train -m seed=0,1,2 optimizer=adam,sgd hydra/launcher=joblib
  made-train -m search=made dataset=mushrooms hydra.sweeper.n_trials=30
  made-train resume=outputs/runs/RUN"""


def train_help(config_dir: str | None = None, asked: Sequence[str] = ()) -> str:
    """The help text: one screen, or all of the groups that are `asked` for.

    Args:
        config_dir: A folder of the user's with options of their own.
        asked: Names of groups, each with or without what is chosen of it; `all` = each group.

    Raises:
        ConfigError: There is no such group.
    """
    folders = [conf_dir()] + ([Path(config_dir)] if config_dir else [])
    chosen = _defaults(conf_dir() / "config.yaml")
    named = {text: text.partition("=")[0].partition(".")[0] for text in asked}
    groups = [*dict.fromkeys(g for text, g in named.items() if g in _GROUPS or "=" not in text)]
    if not groups:
        names = [_names(group, folders, chosen.get(group)) for group in _GROUPS]
        return "\n".join([_HEADER, *names, "", _FOOTER])
    for group in groups:
        if group not in (*_GROUPS, "all"):
            hint = did_you_mean(group, _GROUPS)
            raise ConfigError(f"--help {group}: not one of {', '.join(_GROUPS)}, all{hint}")
    shown = _GROUPS if "all" in groups else groups
    return "\n\n".join(_group(group, folders, chosen.get(group)) for group in shown)


def options_in(folder: Path, group: str) -> list[str]:
    """Names of the options of `group` that `folder` holds, sorted."""
    return sorted(path.stem for path in (folder / group).glob("*.yaml"))


def description_of(path: Path) -> str:
    """The first comment line of a YAML file that is not a directive, without its mark."""
    for line in path.read_text().splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line[2:].strip()
    return ""


def _defaults(config: Path) -> dict[str, str]:
    """The option of each group that is taken unless another is asked for."""
    entries = OmegaConf.select(OmegaConf.load(config), "defaults")
    pairs = [pair for entry in entries if OmegaConf.is_dict(entry) for pair in entry.items()]
    return dict(pairs)


def _names(group: str, folders: list[Path], chosen: str | None) -> str:
    """The options of a group, in as few lines as they need."""
    built_in = OPTIONS.get(group, {})
    own = {option for folder in folders for option in options_in(folder, group)}
    twins = {option: twin for option, schema in built_in.items() if (twin := _twin_of(schema))}
    marked = []
    for option in sorted({*built_in, *own} - twins.keys()):
        others = [name for name, twin in twins.items() if twin == option]
        marked.append("*" * (option == chosen) + "|".join([option, *others]))
    return textwrap.fill(
        " ".join(marked), 98, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13,
        break_on_hyphens=False,
    )  # fmt: skip


def _twin_of(schema: type) -> str | None:
    """The option that this one is by another name, with the same settings, if it is such."""
    found = re.fullmatch(r"The same as (\w+)\.", str(schema.__doc__))
    return found[1] if found else None


def _group(group: str, folders: list[Path], chosen: str | None) -> str:
    lines = [group]
    for folder in folders:
        built_in = OPTIONS.get(group, {}) if folder == folders[0] else {}
        for option in sorted({*options_in(folder, group), *built_in}):
            lines += _option(group, option, folder, "*" if option == chosen else " ")
    return "\n".join(lines)


def _option(group: str, option: str, folder: Path, mark: str) -> list[str]:
    file = folder / group / f"{option}.yaml"
    orders = {**ORDERS, **SCANS} if group == "ordering" else {}
    described_by = orders.get(option, OPTIONS.get(group, {}).get(option))
    text = description_of(file) if file.exists() else str(described_by.__doc__)
    short = textwrap.shorten(text.splitlines()[0], 78, placeholder=" ...")
    lines = [f" {mark} {option:<16} {short}"]
    schema = OPTIONS.get(group, {}).get(option)
    if schema is not None and option != "debug" and not _twin_of(schema):
        for name, default, meaning in described(schema):
            start = f"{name}={default}"
            lines += textwrap.wrap(
                f"{start:<29} {meaning}", 98, initial_indent=" " * 8, subsequent_indent=" " * 38
            )
    return lines
