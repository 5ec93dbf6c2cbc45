from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_examples import NAMES, NASTY, fit_report, grouped_report, imputation_report, renamed

from fosa_sem.report.formatting import display_width
from fosa_sem.report.records import ImputationReport
from fosa_sem.report.text import metrics_text, report_text, summary_text

LONG = {
    **dict(zip(NAMES, NASTY, strict=False)),
    "visual": "a_latent_variable_with_a_very_long_name_that_goes_on_for_ever_and_ever_and_then_some_more",
    "L2": "a_very_long_label",
    "speed": "w" * 200,
}


def widest(text: str) -> int:
    return max(display_width(line) for line in text.splitlines())


def lines_of(text: str, heading: str) -> list[str]:
    """Lines after a heading up to the next blank line, without the column headings."""
    lines = text.splitlines()
    start = lines.index(heading)
    return lines[start + 2 : lines.index("", start)]


def test_sections_come_in_the_familiar_order():
    text = summary_text(fit_report())
    titles = [
        "Model Test User Model:",
        "Model Test Baseline Model:",
        "User Model versus Baseline Model:",
        "Loglikelihood and Information Criteria:",
        "Root Mean Square Error of Approximation:",
        "Standardized Root Mean Square Residual:",
        "Parameter Estimates:",
        "Latent Variables:",
        "Regressions:",
        "Covariances:",
        "Intercepts:",
        "Variances:",
        "R-Square:",
        "Defined Parameters:",
        "Notes:",
    ]
    places = [text.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)


def test_lines_are_those_of_lavaan():
    text = summary_text(fit_report())
    # Copied from summary(fit, fit.measures = TRUE, standardized = TRUE, rsquare = TRUE).
    for line in (
        "  Test statistic                                57.978",
        "  P-value (Chi-square)                           0.000",
        "  Loglikelihood user model (H0)              -3311.178",
        "  P-value H_0: Robust RMSEA <= 0.050             0.029",
        "  90 Percent confidence interval - upper         0.091",
        "                   Estimate  Std.Err  z-value  P(>|z|)   Std.lv  Std.all",
        "    x1                1.000                               0.924    0.791",
        "    x2        (L2)    0.554    0.114    4.881    0.000    0.512    0.425",
        "    visual    (b1)    0.296    0.072    4.126    0.000    0.523    0.523",
        "   .speed             0.185    0.074    2.477    0.013    0.673    0.673",
        "    speed             0.327",
    ):
        assert line in text.splitlines()


def test_information_stands_above_the_estimates_and_the_rest_of_the_call_in_the_header():
    text = summary_text(fit_report())
    assert text.index("  Engine ") < text.index("Model Test User Model:") < text.index("  Information ")
    assert text.count("  Standard errors ") == 1


def test_a_fixed_parameter_shows_its_value_and_no_standard_error():
    rows = lines_of(summary_text(fit_report()), "Latent Variables:")
    assert [row.split() for row in rows if row.split()[0] == "x1"] == [["x1", "1.000", "0.924", "0.791"]]


@pytest.mark.parametrize("ci", [False, True])
@pytest.mark.parametrize("standardized", [False, True])
@pytest.mark.parametrize("make", [fit_report, grouped_report])
def test_no_line_is_wider_than_80_columns(make, ci, standardized):
    report = renamed(make(), LONG)
    report = replace(
        report,
        title="t" * 130,
        call=(*report.call, ("Label " + "l" * 90, "v" * 120), ("Short", "v " * 30)),
        dropped=(("reason " + "r" * 90, 4),),
        group_labels=tuple("g" * 100 + label for label in report.group_labels),
        notes=(*report.notes, "n" * 300),
    )
    text = summary_text(report, ci=ci, standardized=standardized)
    assert widest(text) <= 80
    assert "…" in text


def test_extreme_numbers_keep_the_width_and_stay_apart():
    report = fit_report()
    parameters = report.parameters.copy()
    parameters.loc[1:3, "est"] = [-1.23456789e15, 98765432.1, -1e-300]
    parameters.loc[1:3, "se"] = [1e300, np.inf, 123456.789]
    text = summary_text(replace(report, parameters=parameters), ci=True)
    assert widest(text) <= 80
    row = next(line for line in text.splitlines() if line.startswith("    x2 "))
    assert float(row.split()[2]) == pytest.approx(-1.23456789e15, rel=0.1)


def test_every_parameter_is_printed_once():
    report = fit_report()
    text = summary_text(report)
    blocks = {
        "=~": lines_of(text, "Latent Variables:"),
        "~": lines_of(text, "Regressions:"),
        "~1": lines_of(text, "Intercepts:"),
    }
    for op, lines in blocks.items():
        rows = report.parameters[report.parameters["op"] == op]
        names = rows["lhs"] if op == "~1" else rows["rhs"]
        found = [line.split()[0].lstrip(".") for line in lines if not line.endswith(f" {op}")]
        assert found == list(names)


def test_dots_mark_residuals_of_endogenous_variables_only():
    variances = [line.split()[0] for line in lines_of(summary_text(fit_report()), "Variances:")]
    assert variances == [f".{name}" for name in NAMES] + ["visual", "textual", ".speed"]


def test_undefined_numbers_are_dashes_with_a_note():
    report = fit_report()
    measures = report.fit_measures.copy()
    measures[["chisq", "pvalue", "cfi"]] = np.nan
    plain = summary_text(report)
    text = summary_text(replace(report, fit_measures=measures))
    assert "nan" not in text.lower()
    assert "—: not defined" in text
    assert "—" not in plain
    assert any(line.split() == ["Test", "statistic", "—"] for line in text.splitlines())


def test_a_free_parameter_without_standard_error_shows_dashes():
    report = fit_report()
    parameters = report.parameters.copy()
    parameters.loc[1, ["se", "z", "pvalue", "ci_lower", "ci_upper"]] = np.nan
    text = summary_text(replace(report, parameters=parameters))
    row = next(line for line in text.splitlines() if line.startswith("    x2 "))
    assert row.split() == ["x2", "(L2)", "0.554", "—", "—", "—", "0.512", "0.425"]


def test_options_leave_parts_out():
    text = summary_text(fit_report(), fit_measures=False, standardized=False, rsquare=False)
    assert "Model Test User Model:" in text
    for absent in ("Baseline", "RMSEA", "Std.all", "R-Square"):
        assert absent not in text


def test_groups_have_their_own_numbers_and_shared_parts_come_once():
    text = summary_text(grouped_report())
    first, second = text.split("Group 2 [Grant-White]:")
    assert "Group 1 [Pasteur]:" in first
    assert "    x3                0.688" in first
    assert "    x3                0.695" in second
    assert text.count("Defined Parameters:") == 1
    assert "    b1 == b2          0.000" in second
    assert "Number of equality constraints                     6" in text


def test_groups_may_be_named_by_label():
    report = grouped_report()
    labels = {0: "", 1: "Pasteur", 2: "Grant-White"}
    by_label = replace(
        report,
        parameters=report.parameters.assign(group=report.parameters["group"].map(labels)),
        r2=report.r2.assign(group=report.r2["group"].map(labels)),
    )
    assert summary_text(by_label) == summary_text(report)


def test_scaled_measures_have_a_second_column():
    lines = summary_text(grouped_report()).splitlines()
    assert "  Test statistic                                57.978      44.033" in lines
    assert "  Scaling correction factor                                  0.970" in lines


def test_not_converged_is_said_first():
    text = summary_text(replace(fit_report(), converged=False))
    assert text.splitlines()[1].startswith("NOT CONVERGED")


def test_metrics_are_averaged_over_seeds():
    imputation = imputation_report()
    metrics = imputation.metrics
    assert metrics is not None
    overall = metrics[(metrics["variable"] == "overall") & (metrics["method"] == "sem")]
    text = metrics_text(imputation)
    row = next(line for line in text.splitlines() if line.startswith("  SEM  "))
    assert row.split()[1:3] == [f"{overall['mse'].mean():.3f}", f"{overall['rmse'].mean():.3f}"]
    assert "3 seeds" in text
    assert "(SD)" not in metrics_text(imputation_report(seeds=1))


def test_metrics_and_gates_keep_the_width():
    text = metrics_text(imputation_report([*NASTY, "y" * 200]))
    assert widest(text) <= 80
    assert text.count(" 260") == len(NASTY) + 1


def test_nothing_evaluated_prints_nothing():
    assert metrics_text(ImputationReport()) == ""
    assert report_text(fit_report(), ImputationReport()) == report_text(fit_report(), None)
