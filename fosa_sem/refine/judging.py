"""Every observed cell, predicted by the network that never learned it."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from fosa_sem.imputation.completion import FloatArray
from fosa_sem.refine.attention import Weights
from fosa_sem.refine.calibration import HeldOut
from fosa_sem.refine.folds import Probe
from fosa_sem.refine.form import Form
from fosa_sem.refine.heads import Prediction
from fosa_sem.refine.training import predict


def judge(form: Form, weights: Weights | None, probe: Probe) -> HeldOut:
    """What each probed cell was, beside what the network that never learned it says.

    Parameters
    ----------
    form : Form
    weights : dict of ndarray, or None
        Without any, there is no correction.
    probe : Probe
        Cells of all folds.
    """
    valid = probe.valid.cpu().numpy()
    mixture: list[FloatArray] = []
    correction = torch.zeros_like(probe.residual)
    score = torch.zeros_like(probe.residual)
    if weights is not None:
        read = partial(_own_cells, probe)
        parts = predict(form.trained(weights), form.heads, probe.rows, read)
        correction, score, *stacked = (torch.cat(one, dim=1) for one in zip(*parts, strict=True))
        mixture = [one.cpu().numpy()[valid].astype(np.float64) for one in stacked]
    column, residual, d, sd, gain = (
        one.cpu().numpy()[valid] for one in (probe.column, probe.residual, correction, probe.sd, score)
    )
    return HeldOut(
        column=column,
        residual=residual.astype(np.float64),
        correction=d.astype(np.float64),
        sd=sd.astype(np.float64),
        level_gain=gain.astype(np.float64),
        mixture=tuple(mixture) if mixture else None,
    )


def _own_cells(probe: Probe, part: slice, prediction: Prediction) -> tuple[Tensor, ...]:
    """Correction, gain in log probability (of levels), and the mixture's weights, means and scales of probed cells."""
    column = probe.column[:, part, None]

    def own(table: Tensor) -> Tensor:
        if table.dim() == 3:
            return table.gather(2, column)[..., 0]
        index = column[..., None].expand(-1, -1, 1, table.shape[-1])
        return table.gather(2, index)[:, :, 0]

    residual = probe.residual[:, part, None].expand(-1, -1, prediction.mixture.mean.shape[2])
    gain = torch.zeros_like(residual) if prediction.levels is None else prediction.levels.gain(residual)
    mixture = prediction.mixture
    return (
        own(prediction.correction), own(gain), own(mixture.log_weight.exp()), own(mixture.mean),
        own(mixture.log_scale.exp()),
    )  # fmt: skip
