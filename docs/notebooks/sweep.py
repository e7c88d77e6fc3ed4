"""A sweep read as a data frame; the cells between `# %%` run one by one in most editors."""

# %% A sweep: in a shell, the same words after made-train. Few steps here, to take seconds.
import matplotlib.pyplot as plt
import polars as pl

from made_exp.report import main as made_report
from made_exp.train import main as made_train

SWEEP = "outputs/sweeps/rates"
made_train(
    [
        "-m",
        "optimizer.lr=1e-3,1e-2",
        "seed=0,1",
        "model.hidden_sizes=[50]",
        "trainer.max_steps=50",
        "trainer.progress=off",
        "trainer.tensorboard=false",
        f"hydra.sweep.dir={SWEEP}",
    ]
)

# %% A row a run, a column for each setting that differs; runs may still be going on.
made_report([f"path={SWEEP}"])
runs = pl.read_csv(f"{SWEEP}/report.csv").rename({"optimizer.lr": "lr"})
print(runs.select("lr", "seed", "test_nll", "test_nll_stderr", "seconds"))

# %% Mean and deviation over seeds: as group_by=seed of made-report has them, or by hand.
rates = runs.group_by("lr").agg(
    pl.col("test_nll").mean(), pl.col("test_nll").std().alias("deviation")
)
rates = rates.sort("lr")
best = rates.sort("test_nll")["lr"][0]
print(rates)

# %% The picture.
figure, axis = plt.subplots(figsize=(4, 3), layout="constrained")
axis.errorbar(rates["lr"], rates["test_nll"], rates["deviation"], marker="o", capsize=3)
axis.set(xscale="log", xlabel="learning rate", ylabel="test NLL in nats", title=f"best: {best:g}")
figure.savefig("rates.png", dpi=80)
