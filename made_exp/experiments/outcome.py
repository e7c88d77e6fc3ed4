"""What a finished training is worth: results.json and the lines that sum it up."""

from dataclasses import asdict
from typing import Any

from made_exp.datasets.base import Dataset, nll_as_written, reference_nll, shared_with_train
from made_exp.datasets.baselines.scores import load_or_compute
from made_exp.datasets.registry import default_data_dir
from made_exp.errors import TrainingError
from made_exp.experiments.by_column import ColumnScores
from made_exp.experiments.outliers import Outlier
from made_exp.experiments.table_rows import told
from made_exp.experiments.understanding import as_results
from made_exp.files import atomic_write_json
from made_exp.machine import git_commit
from made_exp.model.checks import measure_connectivity
from made_exp.model.evaluation import Evaluation
from made_exp.model.made import MADE
from made_exp.reporting.comparison import Comparison
from made_exp.runs.folder import RunDirectory, RunState
from made_exp.runtime import versions
from made_exp.training.loop import Trainer


def make_results(
    trainer: Trainer,
    dataset: Dataset,
    *,
    test: Evaluation | None,
    valid: Evaluation,
    outliers: dict[str, Outlier],
    checks: dict[str, dict[str, Any]],
    comparison: Comparison | None = None,
    columns: ColumnScores | None = None,
) -> dict[str, Any]:
    """The content of results.json; `test` is null where no row was kept for it.

    A table's `samples` (n, D) are compared with its rows.
    """
    state, model = trainer.state, trainer.learner.model
    examples = state.step * trainer.batches.batch_size
    reference = reference_nll(dataset, dataset.scored)
    by_column = {} if columns is None else {dataset.scored: columns.as_dict()}
    return {
        "status": "completed",
        "test": test and scores_of(dataset, "test", test) | by_column.get("test", {}),
        "valid": scores_of(dataset, "valid", valid) | by_column.get("valid", {}),
        **(
            {"outliers": {split: one.as_dict() for split, one in outliers.items()}}
            if outliers
            else {}
        ),
        **({} if reference is None else {"reference": {"nll": reference}}),
        "baselines": load_or_compute(dataset, default_data_dir()),
        "checks": checks,
        **({"unchecked": failed} if (failed := _failed(checks)) else {}),
        **as_results(dataset),
        **({"shared_with_train": shared} if (shared := shared_with_train(dataset)) else {}),
        **({} if comparison is None else {"sample_comparison": told(comparison)}),
        "connectivity": asdict(measure_connectivity(model)),
        "best_epoch": state.best_epoch,
        "epochs": state.epochs_begun,
        "steps": state.step,
        "train_seconds": round(state.seconds, 3),
        "checkpoint_seconds": round(state.checkpoint_seconds, 3),
        "examples_per_second": round(examples / max(state.step_seconds, 1e-9), 1),
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "precision": trainer.settings.precision,
        "seed": trainer.batches.seed,
        "dataset": dataset.name,
        "note": dataset.note,
        "versions": versions(),
        "git_commit": git_commit(),
    }


def _failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if not check["passed"]]


def scores_of(dataset: Dataset, split: str, evaluation: Evaluation) -> dict[str, Any]:
    """What is told of the NLL of a split: of a table with real columns also as written, nats."""
    written = nll_as_written(dataset, split, evaluation.nll)
    return evaluation.as_dict() | ({} if written is None else {"nll_as_written": written})


def write_results(run: RunDirectory, results: dict[str, Any], fingerprint: str) -> None:
    """Write results.json, and say that the run is complete.

    Raises:
        TrainingError: If a file cannot be written.
    """
    run.check_held()
    try:
        atomic_write_json(run.results, results)
        objective = results["valid"]["nll"]
        run.write_status(RunState.COMPLETED, fingerprint, objective=objective)
    except OSError as error:
        raise TrainingError(f"cannot write {run.results}: {error.strerror}") from error


def without_gain(results: dict[str, Any], model: MADE) -> str:
    """A warning where no epoch was better than the mixture that training began with, or ""."""
    if results["best_epoch"] or not results["steps"] or not model.mixture.num_extras:
        return ""
    return (
        f"the network added nothing in {results['epochs']} epoch(s): the best model is that of "
        "epoch 0, its simple densities alone; train for longer, or with other settings"
    )
