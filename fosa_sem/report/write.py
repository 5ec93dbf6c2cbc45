"""Which renderer belongs to which file suffix."""

from __future__ import annotations

from fosa_sem.errors import OptionError
from fosa_sem.report.records import FitReport, ImputationReport

SUFFIXES = (".html", ".md", ".txt")


def render(suffix: str, report: FitReport, imputation: ImputationReport | None) -> str:
    """The report as text of a format.

    Raises
    ------
    OptionError
        For a suffix without a renderer.
    """
    if suffix == ".html":
        from fosa_sem.report.html import report_html

        return report_html(report, imputation)
    if suffix == ".md":
        from fosa_sem.report.markdown import report_markdown

        return report_markdown(report, imputation)
    if suffix == ".txt":
        from fosa_sem.report.text import report_text

        return report_text(report, imputation)
    raise OptionError(f"a report's file name must end in {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}")
