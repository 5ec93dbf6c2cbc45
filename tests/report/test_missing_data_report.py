"""Sections on missing data, multiple imputation and sensitivity, their figures, and the checklist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as MplFigure
from report_examples import NASTY, fit_report

from fosa_sem import (
    MultipleImputation,
    SemResults,
    ampute,
    pool,
    sem,
    sensitivity,
)
from fosa_sem.errors import OptionError
from fosa_sem.report.checklist import NOT_STATED, checklist_section
from fosa_sem.report.collect import collect_fit
from fosa_sem.report.collect_multiple import collect_multiple, imputed_variables
from fosa_sem.report.diagnostic_sections import diagnostics_section
from fosa_sem.report.document import Figure, Section, Table
from fosa_sem.report.html import svg_data_uri
from fosa_sem.report.imputation_plots import density, plot_densities, plot_pooling, plot_strips
from fosa_sem.report.missing_plots import plot_coverage, plot_patterns
from fosa_sem.report.multiple_sections import imputed_table, multiple_section, sensitivity_sections
from fosa_sem.report.plain import WIDTH, section_text, table_text
from fosa_sem.report.records import PROMPTS, ImputationReport
from fosa_sem.report.sensitivity_plots import plot_sensitivity

MODEL = "m ~ a*t\ny ~ b*m + t\nab := a*b"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    t = rng.integers(0, 2, 160).astype(float)
    m = 0.6 * t + rng.standard_normal(160)
    y = 0.4 * m + 0.3 * t + rng.standard_normal(160)
    frame = pd.DataFrame({"t": t, "m": m, "y": y})
    return ampute(frame, 0.5, patterns=[[1, 1, 0], [1, 0, 1], [1, 0, 0]], seed=3)


@pytest.fixture(scope="module")
def results(data: pd.DataFrame) -> SemResults:
    return sem(MODEL, data, fixed_x=False)


@pytest.fixture(scope="module")
def imputations(results: SemResults) -> MultipleImputation:
    return results.multiple_imputations(m=4, seed=1)


@pytest.fixture(scope="module")
def pooled(imputations: MultipleImputation):
    return imputations.fit(MODEL, fixed_x=False)


@pytest.fixture(scope="module")
def shifted(imputations: MultipleImputation):
    return sensitivity(imputations, MODEL, {"y": [-4, -2, 2]}, fixed_x=False)


def tables(section: Section) -> dict[str, Table]:
    return {block.caption: block for block in section.blocks if isinstance(block, Table)}


def svg(figure: MplFigure) -> str:
    """Drawn as a page draws it: with a quiet word on glyphs that the drawing fonts lack."""
    return svg_data_uri(Figure(caption="", alt="", draw=lambda: figure))


# ---- sections ------------------------------------------------------------------------------------------------


def test_diagnostics_hold_flux_differences_and_littles_test(results: SemResults) -> None:
    report = collect_fit(results.fit, diagnostics=True)
    section = diagnostics_section(report)
    found = tables(section)
    assert "Influx and outflux" in found
    differences = found["Rows without a variable compared with rows that have it"]
    sizes = [abs(float(row[6])) for row in differences.rows]
    assert sizes == sorted(sizes, reverse=True)
    assert differences.strong == {(k, 6) for k, size in enumerate(sizes) if size >= 0.2}
    shares = [float(row[3].rstrip("%")) for row in found["Contributions of patterns to Little's chi-square"].rows]
    assert abs(sum(shares) - 100) < 0.3
    text = section_text(section)
    assert "Little's MCAR test: χ²(" in text
    assert "says nothing about missing at random" in " ".join(text.split())


def test_a_summary_does_not_compute_what_it_does_not_print(results: SemResults) -> None:
    assert collect_fit(results.fit).missing is None
    assert diagnostics_section(collect_fit(results.fit)).blocks == ()


def test_complete_data_have_no_diagnostics(data: pd.DataFrame) -> None:
    report = collect_fit(sem(MODEL, data.dropna()).fit, diagnostics=True)
    assert report.missing is not None
    assert report.missing.mcar == (None,)
    assert diagnostics_section(report).blocks == ()
    answers = dict(row for row in checklist_rows(report) if len(row) == 2)
    assert answers["Little's test of missing completely at random"] == "not defined here"


def test_uncovered_pairs_are_a_warning(one_factor: pd.DataFrame) -> None:
    apart = one_factor.copy()
    apart.loc[:59, "x1"] = np.nan
    apart.loc[60:, "x2"] = np.nan
    with pytest.warns(UserWarning, match="x1-x2"):
        fit = sem("f =~ x1 + x2 + x3 + x4", apart.dropna(how="all"))
    text = section_text(diagnostics_section(collect_fit(fit.fit, diagnostics=True)))
    assert "WARNING: These pairs of variables are never observed together" in text
    assert "- x1 and x2" in text


def test_groups_have_their_own_tests(data: pd.DataFrame) -> None:
    grouped = data.assign(half=np.where(np.arange(len(data)) % 2, "odd", "even"))
    report = collect_fit(sem("y ~ m + t", grouped, group="half", fixed_x=False).fit, diagnostics=True)
    text = section_text(diagnostics_section(report))
    assert "Little's MCAR test, group even: " in text
    assert "Little's MCAR test, group odd: " in text


def test_multiple_imputation_says_how_and_what(imputations, pooled) -> None:
    report = collect_multiple(imputations, pooled)
    settings = dict(report.settings)
    assert settings["Imputations"] == "4"
    assert settings["Seed"] == "1"
    assert report.imputation_model == MODEL
    section = multiple_section(report)
    estimates = tables(section)["Pooled estimates"]
    frame = pooled.parameter_estimates()
    ab = next(row for row in estimates.rows if row[0] == "ab")
    assert float(ab[1]) == round(frame.loc[frame["lhs"] == "ab", "est"].iloc[0], 3)
    assert "Degrees of freedom of" not in section_text(section)
    assert "Barnard and" in section_text(section)


def test_observed_and_imputed_by_hand(imputations) -> None:
    (variable,) = imputed_variables(imputations, "y")
    row = imputed_table((variable,)).rows[0]
    holes = imputations.table["y"].isna()
    drawn = np.concatenate([table.loc[holes, "y"] for table in imputations])
    low, high = imputations.table["y"].min(), imputations.table["y"].max()
    assert row[1:3] == (str((~holes).sum()), f"{imputations.table['y'].mean():.3f}")
    assert row[4:] == (
        str(holes.sum()),
        f"{drawn.mean():.3f}",
        f"{drawn.std(ddof=1):.3f}",
        f"{((drawn < low) | (drawn > high)).sum() / 4:.1f}",
    )


def test_failed_fits_and_what_the_imputation_model_lacks_are_warned_of(imputations, pooled) -> None:
    report = replace(collect_multiple(imputations, pooled), failed=((3, "no maximum"),), lacking=("y ~ z",))
    text = section_text(multiple_section(report))
    assert "WARNING: The model failed in 1 of 4 imputations" in text
    assert "- Imputation 3: no maximum" in text
    assert "- y ~ z" in text


def test_a_pooled_fit_goes_with_its_imputations(results, imputations, pooled, tmp_path) -> None:
    with pytest.raises(OptionError, match="give imputations too"):
        results.report(tmp_path / "r.txt", pooled=pooled)
    with pytest.raises(OptionError, match="is of 4 imputations, and 3"):
        collect_multiple(results.multiple_imputations(m=3), pooled)
    assert not (tmp_path / "r.txt").exists()


def test_tipping_points_in_the_report(shifted) -> None:
    (section,) = sensitivity_sections((shifted,))
    (table,) = tables(section).values()
    frame = shifted.tipping_points().set_index(["term", "direction"])
    for k, row in enumerate(table.rows):
        for j, direction in ((3, "down"), (4, "up")):
            found = frame.loc[(row[0], direction)]
            if found["becomes"]:
                assert row[j].startswith(f"{found['tipping']:.2f}: ")
                assert (k, j) in table.strong
            else:
                assert row[j] == f"none to {found['last']:.2f}"
    assert "The data cannot say which shift is right" in " ".join(section_text(section).split())
    assert sensitivity_sections(()) == ()


def checklist_rows(report, imputation=None) -> tuple:
    (table,) = checklist_section(report, imputation).blocks
    return table.rows


def test_the_checklist_says_what_was_not_stated() -> None:
    said = {PROMPTS[2]: "dropout", "Funding": "none", PROMPTS[0]: "  "}
    rows = checklist_rows(replace(fit_report(), statements=tuple(said.items())))
    answers = dict(row for row in rows if len(row) == 2)
    assert answers[PROMPTS[2]] == "dropout"
    assert answers["Funding"] == "none"
    assert [answers[prompt] for prompt in PROMPTS].count(NOT_STATED) == len(PROMPTS) - 1
    assert answers["Multiple imputation"] == "not in this report"


def test_the_checklist_gathers_what_is_known(results, imputations, pooled, shifted) -> None:
    report = collect_fit(results.fit, diagnostics=True)
    full = ImputationReport(multiple=collect_multiple(imputations, pooled), sensitivity=(shifted,))
    answers = dict(row for row in checklist_rows(report, full) if len(row) == 2)
    assert answers["Pooling"] == "4 of 4 fits pooled by Rubin's rules"
    assert answers["Imputation model allows for the analysis"] == "nothing found that it rules out"
    assert " of 4 conclusions change" in answers["Shifts of y"]
    assert answers["Rows"] == "160 used of 160 given; none dropped"


@pytest.mark.parametrize("suffix", ["html", "md", "txt"])
def test_reports_hold_all_sections(results, imputations, pooled, shifted, tmp_path, suffix) -> None:
    path = results.report(tmp_path / f"r.{suffix}", imputations=imputations, pooled=pooled, sensitivity=shifted)
    text = path.read_text(encoding="utf-8")
    for title in ("Diagnostics of missing values", "Multiple imputation", "Reporting checklist", "Tipping points"):
        assert title in text
    assert text.count(NOT_STATED) == len(PROMPTS)
    if suffix == "txt":
        assert max(map(len, text.splitlines())) <= WIDTH
    if suffix == "html":
        assert text.count("<img ") == 2 + 3 + 1


def test_the_report_is_the_same_twice(results, imputations, shifted, tmp_path) -> None:
    pages = [
        results.report(tmp_path / f"{i}.html", imputations=imputations, sensitivity=shifted).read_bytes()
        for i in (1, 2)
    ]
    assert pages[0] == pages[1]


def test_wide_tables_stay_within_the_page() -> None:
    rows = tuple(("name" * 9, "value " * 8, f"{k}.123", "text " * 12) for k in range(3))
    table = Table(caption="Wide", columns=("A", "B", "C", "D"), rows=rows, align="llrl", notes=("note " * 40,))
    assert max(map(len, table_text(table).splitlines())) <= WIDTH
    assert "1.123" in table_text(table)
    facts = Table(caption="Facts", columns=(), rows=(("Part",), ("Label", "long " * 40)), align="ll")
    text = table_text(facts)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("long") == 40


# ---- figures -------------------------------------------------------------------------------------------------


def test_patterns_show_variables_with_their_holes(data: pd.DataFrame) -> None:
    figure = plot_patterns(data)
    grid, bars = figure.axes
    assert [label.get_text() for label in grid.get_xticklabels()] == [
        f"{name} ({data[name].isna().sum()})" for name in data.isna().sum().sort_values(kind="stable").index
    ]
    assert sum(bar.get_width() for bar in bars.patches) == len(data)
    assert "2 most frequent" in plot_patterns(data, 2).axes[0].get_title("left")
    with pytest.raises(OptionError, match="at least 1"):
        plot_patterns(data, 0)


def test_coverage_frames_pairs_without_rows() -> None:
    data = pd.DataFrame({"a": [1, np.nan, 1], "b": [np.nan, 1, np.nan], "c": [1, 2, 3]})
    axes = plot_coverage(data).axes[0]
    assert len(axes.patches) == 2
    assert "framed" in axes.get_title("left")


def test_densities_integrate_to_one_and_are_those_of_r() -> None:
    values = np.array([1.0, 1.5, 2.0, 4.0, 4.2, 7.0])
    grid = np.linspace(-15, 25, 4001)
    found = density(values, grid)
    assert abs(found.sum() * (grid[1] - grid[0]) - 1) < 1e-6
    # R 4.2: bw.nrd0(c(1, 1.5, 2, 4, 4.2, 7)) = 1.182956; the density is the mean of normal densities of that width.
    bandwidth = 0.9 * min(values.std(ddof=1), np.subtract(*np.percentile(values, [75, 25])) / 1.34) * 6**-0.2
    exact = np.exp(-0.5 * ((grid[:, None] - values) / bandwidth) ** 2).mean(axis=1) / (bandwidth * np.sqrt(2 * np.pi))
    assert np.abs(found - exact).max() < 1e-3
    assert density(np.full(5, 2.0), grid).max() > 0


def test_densities_and_strips_have_a_line_or_strip_per_imputation(imputations) -> None:
    panels = plot_densities(imputations).axes
    assert [panel.get_title("left").split(" ")[0] for panel in panels if panel.axison] == ["m", "y"]
    assert len(panels[0].lines) == 4
    strips = plot_strips(imputations, ["y"]).axes[0]
    assert len(strips.collections) == 1 + 4
    holes = imputations.table["y"].isna()
    drawn = np.sort(strips.collections[1].get_offsets()[:, 1])
    np.testing.assert_allclose(drawn, np.sort(imputations.complete(1).loc[holes, "y"]))


def test_pooling_and_sensitivity_figures(imputations, pooled, shifted) -> None:
    panels = [panel for panel in plot_pooling(pooled).axes if panel.axison]
    assert [panel.get_title("left") for panel in panels] == ["m ~ t", "y ~ m", "y ~ t", "ab"]
    np.testing.assert_array_equal(panels[0].lines[0].get_xdata(), [2, 3, 4])
    assert len(plot_pooling(pool([([1.0], [0.5]), ([1.2], [0.4])])).axes) == 1
    figure = plot_sensitivity(shifted, "y ~ m")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [-4, -2, 0, 2])
    two = sensitivity(imputations, MODEL, {"y": [1], "m": [-1]}, fixed_x=False, terms="ab")
    assert len(plot_sensitivity(two).axes) == 3
    with pytest.raises(OptionError, match="no estimate"):
        plot_sensitivity(shifted, ["z"])


@pytest.mark.parametrize("name", NASTY)
def test_any_name_can_be_drawn(data: pd.DataFrame, name: str) -> None:
    svg(plot_patterns(data.rename(columns={"y": name})))
    svg(plot_coverage(data.rename(columns={"y": name})))
    frame = pd.DataFrame({name: [1.0, 2.0, np.nan, 5.5], "b": [1, 2, 3, 4]})
    filled = MultipleImputation.from_frames([frame.fillna(3.0), frame.fillna(2.5)], frame)
    svg(plot_densities(filled))
    svg(plot_strips(filled))


def test_variables_that_cannot_be_drawn_are_refused(imputations) -> None:
    with pytest.raises(OptionError, match="'t' is no column of numbers with imputed cells; there are m, y"):
        plot_densities(imputations, "t")
    complete = imputations.complete(1)
    with pytest.raises(OptionError, match="no variables to draw"):
        plot_strips(MultipleImputation.from_frames([complete, complete], complete))
