"""The report as one self-contained HTML page: no script, no network, the same bytes for the same input."""

from __future__ import annotations

import base64
import io
import re
import warnings
from typing import TYPE_CHECKING

from fosa_sem.errors import MissingDependencyError
from fosa_sem.report.document import Block, Document, Figure
from fosa_sem.report.records import FitReport, ImputationReport
from fosa_sem.report.sections import build_document, build_summary

if TYPE_CHECKING:
    from jinja2 import Environment

_SIDES = {"l": "left", "r": "right", "c": "centre"}


def report_html(report: FitReport, imputation: ImputationReport | None = None) -> str:
    """One page with everything in it: style, tables and figures.

    Parameters
    ----------
    report : FitReport
    imputation : ImputationReport, optional

    Returns
    -------
    str
        A whole HTML document. Names and the model text are escaped.

    Raises
    ------
    MissingDependencyError
        Without jinja2, or without matplotlib where there is a figure.
    """
    return _render("report.html.j2", build_document(report, imputation))


def summary_html(report: FitReport) -> str:
    """Return the short form for notebooks: a fragment with its own style, without figures.

    Parameters
    ----------
    report : FitReport

    Returns
    -------
    str
        An HTML ``<div>``.

    Raises
    ------
    MissingDependencyError
        Without jinja2.
    """
    return _render("summary.html.j2", build_summary(report))


def svg_data_uri(figure: Figure) -> str:
    """Draw a figure and return it as a data URI that an ``<img>`` can show.

    Parameters
    ----------
    figure : Figure

    Returns
    -------
    str
        ``data:image/svg+xml;base64,...``; the same bytes for the same data.
    """
    drawn = figure.draw()
    import matplotlib as mpl

    # A salt replaces random ids; text stays text, so that any script can be shown with the reader's fonts.
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "fosa_sem", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _environment() -> Environment:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError('HTML reports need jinja2: pip install "fosa-sem[report]"') from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fosa_sem.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _minus
    environment.filters["side"] = _SIDES.__getitem__
    environment.filters["image"] = svg_data_uri
    environment.filters["kind"] = _kind
    return environment


def _render(template: str, document: Document) -> str:
    return _environment().get_template(template).render(document=document)


def _minus(text: str) -> str:
    """Set minus signs before numbers, but not in exponents."""
    return re.sub(r"(?<![\w)])-(?=[\d.])", "−", text)


def _kind(block: Block) -> str:
    return type(block).__name__.lower()
