from __future__ import annotations

import base64
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from report_examples import (
    FIT_MEASURES,
    MODEL,
    NAMES,
    NASTY,
    SCALED,
    fit_report,
    grouped_report,
    imputation_report,
    renamed,
)

from fosa_sem.errors import MissingDependencyError
from fosa_sem.report.html import report_html, summary_html
from fosa_sem.report.markdown import report_markdown
from fosa_sem.report.records import PROMPTS
from fosa_sem.report.sections import build_document, fit_sentence

VOID = {"meta", "img", "br", "link", "hr"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; checks that tags nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.cells: list[str] = []
        self.stack: list[str] = []
        self.feed(source)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.stack.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.stack):
            self.cells[-1] += data

    def values(self, name: str) -> list[str]:
        return [value or "" for key, value in self.attributes if key == name]


def images(source: str) -> list[str]:
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', source)
    return [base64.b64decode(code).decode() for code in found]


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(fit_report(), imputation_report())


@pytest.fixture(scope="module")
def nasty_page() -> str:
    names = dict(zip(NAMES, NASTY, strict=False))
    report = replace(
        renamed(fit_report(), names),
        model=MODEL + "# <script>alert('model')</script>",
        notes=("<b>note</b>",),
        call=(("<i>", "</style>"),),
        title='</title><script>"',
    )
    return report_html(report, imputation_report(list(NASTY)))


def test_the_page_loads_nothing_and_runs_nothing(page):
    parsed = Page(page)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert all(value.startswith("data:image/svg+xml;base64,") for value in parsed.values("src"))
    assert all(value.startswith("#") for value in parsed.values("href"))
    assert not re.search(r"@import|url\(", page)
    assert not any(key.startswith("on") for key, _ in parsed.attributes)


def test_figures_load_nothing(page):
    drawn = images(page)
    assert len(drawn) == 3
    for image in drawn:
        assert "<image" not in image
        assert not re.findall(r'href="(?!#)', image)


def test_every_figure_and_table_is_described(page):
    parsed = Page(page)
    assert parsed.tags.count("img") == len([text for text in parsed.values("alt") if len(text) > 30]) == 3
    assert parsed.tags.count("table") == len(
        [text for text in parsed.values("aria-label") if text.startswith("Table ")]
    )
    numbers = [int(number) for number in re.findall(r"<figcaption>Table (\d+)\. ", page)]
    assert numbers == list(range(1, parsed.tags.count("table") + 1))


def test_names_and_model_text_are_escaped(nasty_page):
    parsed = Page(nasty_page)
    assert "script" not in parsed.tags
    assert not {"b", "i"} & set(parsed.tags)
    for name in NASTY[:5]:
        assert any(name in cell for cell in parsed.cells)
    assert "\x1b" not in nasty_page
    assert "alert(&#39;model&#39;)" in nasty_page


def test_dollar_signs_in_figures_are_no_mathematics(nasty_page):
    first = images(nasty_page)[0]
    assert "$x$ &amp; y" in first
    assert "&lt;script&gt;" in first
    assert "<script" not in first


def test_same_input_same_bytes(page):
    assert report_html(fit_report(), imputation_report()) == page


def test_every_parameter_and_index_is_there(page):
    cells = Page(page).cells
    for _, row in fit_report().parameters.iterrows():
        assert f"{row['est']:.3f}".replace("-", "−") in cells
    for full in (
        "Comparative fit index (CFI)",
        "Tucker-Lewis index (TLI)",
        "Root mean square error of approximation (RMSEA)",
        "Standardised root mean square residual (SRMR)",
    ):
        assert cells.count(full) == 1
    assert "[−0.041, 0.145]" in cells
    assert "&lt; .001" in page


def test_what_the_analyst_did_not_say_is_shown_as_not_said(page):
    cells = Page(page).cells
    assert cells.count("not stated by the analyst") == len(PROMPTS) - 1
    assert "osf.example/abcde" in cells


def test_undefined_numbers_are_dashes():
    report = fit_report()
    measures = report.fit_measures.copy()
    measures[["chisq", "pvalue", "rmsea.ci.lower"]] = np.nan
    parameters = report.parameters.copy()
    parameters.loc[1, ["se", "z", "pvalue", "ci_lower", "ci_upper"]] = np.nan
    source = report_html(replace(report, fit_measures=measures, parameters=parameters), None)
    cells = Page(source).cells
    assert "nan" not in [cell.lower() for cell in cells]
    assert "[—, —]" in cells
    assert "not defined for this model and these data" in source


def test_groups_are_named_in_captions_and_patterns():
    source = report_html(grouped_report(), None)
    for part in ("Loadings of latent variables", "Variances"):
        assert f"{part}, group Pasteur" in source
        assert f"{part}, group Grant-White" in source
    cells = Page(source).cells
    assert cells.count("Grant-White") >= 10
    assert "b1 == b2" in cells


def test_long_pattern_tables_are_cut_and_say_so(page):
    report = fit_report()
    hidden = report.patterns["n"].iloc[20:].sum()
    expected = f"{len(report.patterns) - 20} more patterns, which hold {hidden} rows, are not shown."
    assert expected in page


def test_variables_called_like_our_columns_do_no_harm():
    names = {"x1": "n", "x2": "group"}
    source = report_html(renamed(fit_report(), names), None)
    assert {"1. n", "2. group"} <= set(Page(source).cells)
    n_patterns = len([cell for cell in Page(source).cells if cell == "30.6%"])
    assert n_patterns == len([cell for cell in Page(report_html(fit_report(), None)).cells if cell == "30.6%"])


def test_many_variables_give_lists_instead_of_wide_tables():
    p = 40
    names = [f"item{number}" for number in range(p)]
    eye = pd.DataFrame(np.eye(p), index=names, columns=names)
    patterns = pd.DataFrame(np.ones((1, p), dtype=int), columns=names).assign(n=301)
    patterns.iloc[0, 3] = 0
    report = replace(
        fit_report(),
        patterns=patterns,
        coverage=(eye,),
        missing_rates=pd.Series(0.1, index=names),
        saturated=((pd.Series(0.0, index=names), eye),),
        residual_correlations=(eye,),
    )
    tables = [block for section in build_document(report).sections for block in section.blocks]
    widths = [len(getattr(table, "columns", ())) for table in tables]
    assert max(widths) <= 10
    assert "item3" in Page(report_html(report, None)).cells
    assert f"20 smallest of {p * (p - 1) // 2} pairs" in report_html(report, None)


def test_summary_is_a_fragment_without_figures():
    source = summary_html(fit_report())
    parsed = Page(source)
    assert parsed.tags[0] == "div"
    assert not {"html", "img", "body"} & set(parsed.tags)
    assert "0.554" in parsed.cells


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_with_its_cure(monkeypatch, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf'{package}.*pip install "fosa-sem\[report\]"'):
        report_html(fit_report(), imputation_report())


def test_without_figures_matplotlib_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "<table" in report_html(fit_report(), None)


def test_fit_sentence():
    assert fit_sentence(pd.Series(FIT_MEASURES), 301) == (
        "χ²(24, N = 301) = 57.98, p < .001; CFI = .952; TLI = .929; RMSEA = .069, 90% CI [.046, .091]; SRMR = .056."
    )
    scaled = fit_sentence(pd.Series({**FIT_MEASURES, **SCALED}), 301)
    assert scaled.startswith("scaled χ²(30, N = 301) = 44.03, p = .047; CFI = .973")
    assert fit_sentence(pd.Series({"chisq": np.nan}), 301) == ""


def test_markdown_tables_keep_their_columns():
    names = dict(zip(NAMES, NASTY, strict=False))
    text = report_markdown(renamed(fit_report(), names), imputation_report(list(NASTY)))
    assert "<script>" not in text.replace(r"\<script\>", "")
    header_width = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            header_width = 0
            continue
        bars = len(re.findall(r"(?<!\\)\|", line))
        header_width = header_width or bars
        assert bars == header_width
    assert "**0.6" in text
