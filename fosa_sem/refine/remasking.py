"""Conditional means and covariances for rows that each have a pattern of their own, in batches.

`GaussianRule.conditional` solves once per pattern, which is right for data. In training nearly every row has
a fresh pattern, so here the regressions of a whole batch are solved together, or looked up if they are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fosa_sem.imputation.completion import FloatArray, GaussianRule

# Added to the diagonal of the conditioning block on the correlation scale, so that exact linear dependence
# among the shown variables can be solved; it moves a conditional mean by the order of 1e-8 otherwise.
RIDGE = 1e-8
MAX_TABLE_PATTERNS = 4096
MAX_TABLE_VARIABLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Location and scale by which every variable is standardised.

    Attributes
    ----------
    mean, sd : ndarray, shape (p,)
        Of the observed cells, ddof = 0; all groups together. A constant column has sd 1.
    """

    mean: FloatArray
    sd: FloatArray

    def standardise(self, values: FloatArray) -> FloatArray:
        """Return z-scores of ``values``, shape (n, p)."""
        return (values - self.mean) / self.sd


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedRows:
    """What networks see of a batch of rows, on the standardised scale: n rows for each of K networks.

    Attributes
    ----------
    value : Tensor of float32, shape (K, n, p)
        The z-score where shown, the conditional mean where hidden.
    sd : Tensor of float32, shape (K, n, p)
        Conditional standard deviation; 0 where shown.
    hidden : Tensor of bool, shape (K, n, p)
        Which cells are hidden (or missing).

    K is 1 where all networks see the same rows.
    """

    value: Tensor
    sd: Tensor
    hidden: Tensor

    def take(self, rows: slice) -> MaskedRows:
        """Return some of the rows."""
        return MaskedRows(value=self.value[:, rows], sd=self.sd[:, rows], hidden=self.hidden[:, rows])

    @classmethod
    def joined(cls, parts: Sequence[MaskedRows]) -> MaskedRows:
        """Rows of the same networks, one part after the other."""
        return cls(**{name: torch.cat([getattr(part, name) for part in parts], dim=1) for name in cls.__slots__})


class Remasker:
    """Conditional moments under a Gaussian rule for any pattern per row, on the standardised scale.

    Parameters
    ----------
    rule : GaussianRule
        Moments per group on the data's scale.
    scaling : Scaling
        The standardisation of the rows that will be given.
    device : torch.device
        Where the batches live.

    Notes
    -----
    With R the correlation matrix and M the 0/1 diagonal of shown variables, the weights of all regressions
    of a row are the solution W of (M R M + I - M) W = M R: the identity pads the block, so that all rows have
    matrices of one size. Up to 10 variables and 4,096 patterns (over groups) the solutions are tabulated.
    """

    def __init__(self, rule: GaussianRule, scaling: Scaling, device: torch.device) -> None:
        means = (np.stack(rule.means) - scaling.mean) / scaling.sd
        covs = np.stack(rule.covs) / np.outer(scaling.sd, scaling.sd)
        scales = np.sqrt(np.clip(np.einsum("gjj->gj", covs), 0.0, None))
        scales = np.where(scales > 0, scales, 1.0)
        self._means = torch.as_tensor(means, device=device)
        self._scales = torch.as_tensor(scales, device=device)
        self._corrs = torch.as_tensor(covs / (scales[:, :, None] * scales[:, None, :]), device=device)
        p = means.shape[1]
        self._bits = 2 ** torch.arange(p, device=device)
        self._table: tuple[Tensor, Tensor] | None = None
        if p <= MAX_TABLE_VARIABLES and len(means) * 2**p <= MAX_TABLE_PATTERNS:
            codes = torch.arange(2**p, device=device).repeat(len(means))
            shown = (codes[:, None] & self._bits) > 0
            group = torch.arange(len(means), device=device).repeat_interleave(2**p)
            self._table = self._solve(shown, group)

    def __call__(self, z: Tensor, shown: Tensor, group: Tensor) -> tuple[MaskedRows, Tensor]:
        """Return the rows as the networks see them, and the covariance of their hidden cells.

        Parameters
        ----------
        z : Tensor of float64, shape (K, n, p)
            z-scores; those at hidden cells are not read.
        shown : Tensor of bool, shape (K, n, p)
            Cells that may be conditioned on.
        group : Tensor of int64, shape (K, n)
            0-based group of each row.

        Returns
        -------
        MaskedRows
        covariance : Tensor of float32, shape (K, n, p, p)
            Cov[hidden | shown] of each row, 0 in the rows and columns of shown cells.
        """
        weights, residual = (part.view(*shown.shape, shown.shape[-1]) for part in self._regressions(shown, group))
        mean, scale = self._means[group], self._scales[group]
        deviation = torch.where(shown, (z - mean) / scale, 0.0)
        fitted = mean + scale * (deviation[..., None, :] @ weights)[..., 0, :]
        value = torch.where(shown, z, fitted)
        sd = scale * residual.diagonal(dim1=-2, dim2=-1).clamp(min=0.0).sqrt()
        covariance = residual * scale[..., :, None] * scale[..., None, :]
        return MaskedRows(value=value.float(), sd=sd.float(), hidden=~shown), covariance.float()

    def _regressions(self, shown: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (K n, shown, hidden) and residual correlation (K n, p, p), padded with zeros."""
        shown, group = shown.flatten(0, 1), group.flatten()
        if self._table is None:
            return self._solve(shown, group)
        index = group * 2 ** len(self._bits) + (shown * self._bits).sum(dim=1)
        return self._table[0][index], self._table[1][index]

    def _solve(self, shown: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
        """Solve every row's regressions."""
        corr = self._corrs[group]
        eye = torch.eye(corr.shape[1], dtype=corr.dtype, device=corr.device)
        both = shown[:, :, None] & shown[:, None, :]
        given = shown[:, :, None] & ~shown[:, None, :]
        neither = ~shown[:, :, None] & ~shown[:, None, :]
        cross = torch.where(given, corr, 0.0)
        # LU rather than Cholesky: an improper solution's moments need not be positive definite.
        weights = torch.linalg.solve(torch.where(both, corr + RIDGE * eye, eye), cross)
        residual = torch.where(neither, corr - cross.transpose(1, 2) @ weights, 0.0)
        return weights, residual
