"""The outcome of a search, as a command to paste."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from made_exp.cli import sweeps as sweep_log
from made_exp.cli.provenance import command_for


def best_command(sweep_dir: Path) -> str:
    """The best job of a search in `sweep_dir` as a command, with its NLL; '' if no search."""
    if not (sweep_dir / "optimization_results.yaml").exists():
        return ""
    outcome = OmegaConf.load(sweep_dir / "optimization_results.yaml")
    jobs = [entry for entry in sweep_log.read(sweep_dir) if entry.get("objective") is not None]
    if not jobs or not isinstance(outcome, DictConfig):
        return ""
    best = min(jobs, key=lambda entry: entry["objective"])
    return (
        f"best validation NLL {best['objective']:.4f} nats in {sweep_dir / best['folder']}\n"
        f"{command_for(best['overrides'])}"
    )
