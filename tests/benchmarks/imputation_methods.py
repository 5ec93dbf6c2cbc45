"""The imputers that are compared: a name, what it needs, and how it is made for a task.

MIWAE comes from notmiwae-pytorch, the one package in the index with MIWAE or GAIN that installs beside this project's
torch and numpy: hyperimpute (MIWAE, GAIN) is of 2023 and pins an older torch, EGAIN and MIDASpy need tensorflow, MIDAS2
(midasverse-midas) is a denoising autoencoder. It is a small package of 2025, not a long-kept one: its model is used,
not its trainer, and only the benchmark depends on it. It imports tensorboard without saying so.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from fosa_sem import RefinerConfig
from fosa_sem.evaluate import baselines
from tests.benchmarks.imputation_tasks import Task

Method: TypeAlias = Callable[[pd.DataFrame, int], pd.DataFrame]
IMPUTATIONS = 5
MAX_NEIGHBOUR_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Imputer:
    """One way to fill a task.

    Attributes
    ----------
    about : str
        For the table's foot.
    make : callable
        From a task to ``(table, seed) -> table``.
    modules : tuple of str
        Without them it is skipped.
    r : bool
        It needs Rscript with mice.
    """

    about: str
    make: Callable[[Task], Method]
    modules: tuple[str, ...] = ()
    r: bool = False

    def why_not(self) -> str:
        """Why it cannot run here; empty if it can."""
        absent = [name for name in self.modules if importlib.util.find_spec(name) is None]
        if absent:
            return f"package {absent[0]} is not installed (pip install 'fosa-sem[bench]')"
        if self.r and not _has_mice():
            return "Rscript with the package mice is not here"
        return ""


def _has_mice() -> bool:
    if shutil.which("Rscript") is None:
        return False
    return subprocess.run(["Rscript", "-e", "loadNamespace('mice')"], capture_output=True, check=False).returncode == 0


def _fosa(task: Task, config: Callable[[int], RefinerConfig | Literal["attention"] | None]) -> Method:
    from fosa_sem import FosaImputer

    def fill(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        return FosaImputer(task.model, func=task.func, refiner=config(seed), seed=seed).fit_transform(table)

    return fill


# ---- other packages ----------------------------------------------------------------------------------------


def miceforest_mean(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Mean of five imputations by chained LightGBM, five rounds."""
    import miceforest

    kernel = miceforest.ImputationKernel(table, num_datasets=IMPUTATIONS, random_state=seed)
    kernel.mice(5, verbosity=-1, num_threads=1)
    return _mean([kernel.complete_data(dataset=i) for i in range(IMPUTATIONS)])


def statsmodels_mice(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Mean of ten rounds of chained regressions with predictive mean matching, after ten more."""
    from statsmodels.imputation.mice import MICEData

    state = np.random.get_state()
    np.random.seed(seed)  # MICEData knows no other generator
    try:
        data = MICEData(table)
        data.update_all(10)
        rounds = []
        for _ in range(10):
            data.update_all()
            rounds.append(data.data[table.columns].copy())
    finally:
        np.random.set_state(state)
    return _mean(rounds).set_axis(table.index)


def r_mice(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Mean of five imputations by R's mice with predictive mean matching."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "holes.csv"), Path(folder, "filled.csv")
        table.to_csv(source, index=False)
        script = Path(__file__).with_name("mice.R")
        command = ["Rscript", str(script), str(source), str(target), str(IMPUTATIONS), str(seed)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"mice: {run.stderr.strip().splitlines()[-1] if run.stderr.strip() else 'failed'}")
        return pd.read_csv(target).set_axis(table.columns, axis=1).set_axis(table.index)


def _mean(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return sum(tables[1:], start=tables[0]) / len(tables)


def miwae(table: pd.DataFrame, seed: int, *, steps: int = 3000, batch: int = 128) -> pd.DataFrame:
    """Conditional expectation under MIWAE (Mattei & Frellsen, 2019): 128 hidden units, 20 importance samples."""
    import torch
    from notmiwae_pytorch.models.miwae import MIWAE

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    values = table.to_numpy(float)
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    z = torch.as_tensor(np.nan_to_num((values - mean) / sd), dtype=torch.float32)
    seen = torch.as_tensor(~np.isnan(values), dtype=torch.float32)
    model = MIWAE(z.shape[1], latent_dim=max(z.shape[1] // 2, 1), hidden_dim=128, n_samples=20)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(z), (min(batch, len(z)),), generator=generator)
        adam.zero_grad()
        model(z[rows], seen[rows])["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    parts = zip(z.split(200), seen.split(200), strict=True)
    filled = torch.cat([model.impute(part, s, n_samples=500) for part, s in parts]).numpy()
    return table.fillna(pd.DataFrame(filled * sd + mean, index=table.index, columns=table.columns))


# ---- boosted trees on the residual of the conditional mean -------------------------------------------------


def boosted_residual(table: pd.DataFrame, seed: int, *, copies: int = 6) -> pd.DataFrame:
    """Saturated FIML's expectation plus what boosted trees predict of its error.

    The trees learn from copies of the table in which 5 to 60% of each row's observed cells are hidden too: what is
    left of a hidden value, in units of its conditional SD, from all values or conditional means and their SDs.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    values = table.to_numpy(float)
    observed = ~np.isnan(values)
    rule = baselines.saturated_rule(values)
    rng = np.random.default_rng(seed)
    inputs, targets, hidden = [], [], []
    for _ in range(copies):
        hide = observed & (rng.random(values.shape) < rng.uniform(0.05, 0.6, (len(values), 1)))
        mean, sd = rule.conditional(values, observed & ~hide)
        inputs.append(np.hstack([mean, sd]))
        targets.append((values - mean) / np.where(sd > 0, sd, 1.0))
        hidden.append(hide)
    x, y, learned = np.vstack(inputs), np.vstack(targets), np.vstack(hidden)
    mean, sd = rule.conditional(values, observed)
    filled = mean.copy()
    for j in np.flatnonzero(~observed.all(axis=0)):
        trees = HistGradientBoostingRegressor(max_iter=200, learning_rate=0.05, random_state=seed)
        with threadpool_limits(1):  # on busy cores, threads that wait for each other take many times as long
            trees.fit(x[learned[:, j]], y[learned[:, j], j])
        holes = ~observed[:, j]
        filled[holes, j] += sd[holes, j] * trees.predict(np.hstack([mean, sd])[holes])
    return pd.DataFrame(np.where(observed, values, filled), index=table.index, columns=table.columns)


# ---- the list ----------------------------------------------------------------------------------------------


def _plain(method: Method) -> Callable[[Task], Method]:
    return lambda task: method


def _neighbours(task: Task) -> Method:
    if len(task.truth) > MAX_NEIGHBOUR_ROWS:
        raise ValueError(f"{len(task.truth)} rows: the table of distances takes too much time and memory")
    return baselines.nearest_neighbours


METHODS: dict[str, Imputer] = {
    "mean": Imputer(about="column mean", make=_plain(baselines.column_mean)),
    "knn": Imputer(about="10 nearest neighbours (scikit-learn)", make=_neighbours),
    "ridge": Imputer(about="chained Bayesian ridge (scikit-learn)", make=_plain(baselines.chained_ridge)),
    "extra_trees": Imputer(about="chained extra trees", make=_plain(baselines.chained_extra_trees)),
    "forest": Imputer(about="chained random forests, as missForest", make=_plain(baselines.chained_forest)),
    "miceforest": Imputer(
        about="miceforest, mean of 5", make=_plain(miceforest_mean), modules=("miceforest", "lightgbm")
    ),
    "statsmodels": Imputer(about="statsmodels MICE, mean of 10", make=_plain(statsmodels_mice)),
    "mice": Imputer(about="R's mice, pmm, mean of 5", make=_plain(r_mice), r=True),
    "miwae": Imputer(about="MIWAE", make=_plain(miwae), modules=("notmiwae_pytorch", "tensorboard")),
    "em": Imputer(about="saturated FIML", make=_plain(baselines.saturated_fiml)),
    "boosted": Imputer(about="boosted trees on the residual of em", make=_plain(boosted_residual)),
    "sem": Imputer(about="FIML of the model, conditional expectation", make=partial(_fosa, config=lambda seed: None)),
    "fosa": Imputer(about="FosaImputer", make=partial(_fosa, config=lambda seed: "attention")),
    "fosa_paper": Imputer(
        about="FosaImputer with the paper's settings",
        make=partial(_fosa, config=lambda seed: RefinerConfig.paper(seed=seed)),
    ),
}
