"""What a user holds after a fit: accessors that arrange what other modules compute, summary and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from fosa_sem.data.writing import atomic_write_text
from fosa_sem.errors import MissingDependencyError
from fosa_sem.imputation.multiple import MultipleImputation
from fosa_sem.report.collect import collect_fit
from fosa_sem.report.document import Section
from fosa_sem.report.records import ImputationReport
from fosa_sem.results.rows import FitRows

if TYPE_CHECKING:
    from fosa_sem.evaluate.sensitivity import Sensitivity
    from fosa_sem.imputation.pooled_sem import PooledSem


@dataclass(frozen=True, kw_only=True)
class SemResults(FitRows):
    """A fitted structural equation model.

    Standard errors, tests and fit measures come from the FIML fit, never from imputed data.

    Attributes
    ----------
    fit : FimlFit
        The numbers.
    data : DataFrame
        The user's table, by reference; never changed.
    """

    def summary(
        self, fit_measures: bool = True, standardized: bool = True, rsquare: bool = True, fmi: bool = False,
        ci: bool = False,
    ) -> str:  # fmt: skip
        """The fit as text of 80 columns (lavaan: ``summary()``).

        Parameters
        ----------
        fit_measures, standardized, rsquare : bool, default True
            Sections and columns to show.
        fmi : bool, default False
            Show the fraction of missing information.
        ci : bool, default False
            Show confidence limits.
        """
        from fosa_sem.report.text import summary_text

        return summary_text(
            collect_fit(self.fit, fmi=fmi), fit_measures=fit_measures, standardized=standardized, rsquare=rsquare,
            fmi=fmi, ci=ci,
        )  # fmt: skip

    def __repr__(self) -> str:
        state = "converged" if self.converged else "NOT CONVERGED"
        return (
            f"<SemResults: {self.fit.options.func}(), {self.nobs} rows, {self.npar} parameters, "
            f"loglik {self.loglik:.3f}, {state}; .summary() shows all>"
        )

    def _repr_html_(self) -> str | None:
        from fosa_sem.report.html import summary_html

        try:
            return summary_html(collect_fit(self.fit))
        except MissingDependencyError:  # a notebook then shows the text
            return None

    def report(
        self,
        path: str | PathLike[str],
        imputation: ImputationReport | None = None,
        statements: Mapping[str, str] | None = None,
        *,
        imputations: MultipleImputation | None = None,
        pooled: PooledSem | None = None,
        sensitivity: Sensitivity | Sequence[Sensitivity] = (),
        sections: Sequence[Section] = (),
    ) -> Path:
        """Write a report in the format of the suffix: .html, .md or .txt.

        Parameters
        ----------
        path : path-like
        imputation : ImputationReport, optional
            Sections on imputed values.
        statements : mapping of prompt to text, optional
            What only the analyst can say, under the prompts of `fosa_sem.report.records.PROMPTS` or others; a
            prompt without a text is printed as not stated.
        imputations : MultipleImputation, optional
            Section on multiple imputations.
        pooled : PooledSem, optional
            What ``imputations.fit(model)`` gave, for the same section.
        sensitivity : Sensitivity or sequence of Sensitivity, optional
            Section on values missing not at random.
        sections : sequence of Section
            Sections from elsewhere, such as ``r_bridge.crosscheck(results).section()``.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        OptionError
            For another suffix, or a place that cannot be written; no partial file is left. Also for a pooled fit
            without the imputations, or of another number of them.
        """
        from fosa_sem.report.collect_multiple import with_multiple
        from fosa_sem.report.write import render

        target = Path(path)
        fit_report = collect_fit(
            self.fit, statements=tuple((statements or {}).items()), diagnostics=True, further=tuple(sections)
        )
        full = with_multiple(imputation, imputations, pooled, sensitivity)
        text = render(target.suffix.lower(), fit_report, full)
        atomic_write_text(target, text)
        return target
