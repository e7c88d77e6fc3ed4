"""Run folders as training leaves them, written in a moment, for tests of the report."""

import json
import math

import numpy as np

from made_exp.reporting.figures import save_png

HOSTILE = "<script>alert(1)</script>"


def make_run(
    folder,
    *,
    overrides=(),
    dataset="mnist",
    lr=1e-3,
    seed=0,
    nll=80.0,
    status="completed",
    epochs=20,
    picture=True,
    model="made",
    **settings,
):
    """Write the files of a run that got as far as `status` says; returns its folder."""
    folder.mkdir(parents=True)
    config = {
        "model": {"name": model, "hidden_sizes": settings.pop("hidden_sizes", [500])},
        "dataset": {"name": dataset, **settings.pop("dataset_options", {"context": "none"})},
        "optimizer": {"name": settings.pop("optimizer", "adam"), "lr": lr, "weight_decay": 0.0},
        "ordering": {"name": settings.pop("ordering", "natural")},
        "trainer": {"epochs": epochs, "device": "auto", "progress": "auto"},
        "seed": seed,
        "resume": False,
        "notes": settings.pop("notes", {}),
    }
    assert not settings, settings
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("seed: 0\n")
    lines = "".join(f"- {override}\n" for override in overrides) or "[]\n"
    (folder / ".hydra" / "overrides.yaml").write_text(lines)
    (folder / "config.json").write_text(json.dumps(config))
    state = {"state": status, "fingerprint": "x"}
    if status == "failed":
        state["error"] = f"training diverged at step 7 {HOSTILE}"
        (folder / "train.log").write_text(
            f"2026 failed: x\nTraceback (most recent call last):\n  File {HOSTILE}, line 1\n"
            "RunError: training diverged\n"
        )
    (folder / "status.json").write_text(json.dumps(state))
    if status == "failed":
        return folder
    with open(folder / "metrics.jsonl", "w") as metrics:
        for epoch in range(1, epochs + 1):
            drop = 0.8 * nll * math.exp(-epoch / 3)
            line = {"epoch": epoch, "step": epoch * 10, "seconds": epoch * 1.5}
            line |= {"train_nll": nll - 1 + drop, "valid_nll": nll + 0.2 + drop, "lr": lr}
            metrics.write(json.dumps(line) + "\n")
    if picture:
        shade = np.full((60, 90, 3), int(nll) % 256, np.uint8)
        save_png(folder / "samples" / "final.png", shade)
    if status == "completed":
        test = {"nll": nll, "nll_stderr": 0.25, "nll_per_dim": nll / 784, "num_examples": 10000}
        results = {"status": "completed", "test": test, "valid": {"nll": nll + 0.1}}
        results |= {"best_epoch": epochs - 1, "epochs": epochs, "train_seconds": 31.5}
        results |= {"seed": seed, "num_parameters": 1000, "dataset": dataset}
        (folder / "results.json").write_text(json.dumps(results))
    return folder


def make_sweep(folder, *, lrs=(1e-3, 3e-4, 1e30), seeds=(0, 1)):
    """A sweep over seeds and rates; a rate of 1e30 fails."""
    folder.mkdir(parents=True)
    entries = []
    for number, (seed, lr) in enumerate((seed, lr) for seed in seeds for lr in lrs):
        name = f"{number:03d}_seed-{seed}_lr-{lr:g}"
        failed = lr > 1e10
        make_run(
            folder / name,
            overrides=[f"seed={seed}", f"optimizer.lr={lr:g}"],
            lr=lr,
            seed=seed,
            nll=80 + seed + abs(math.log10(lr) + 3) * 2,
            status="failed" if failed else "completed",
        )
        entry = {"number": number, "folder": name, "overrides": [f"seed={seed}"]}
        entry |= {"status": "failed" if failed else "completed", "error": "diverged"}
        entries.append(json.dumps(entry))
    (folder / "results.jsonl").write_text("\n".join(entries) + "\n")
    return folder
