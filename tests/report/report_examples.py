"""Records as a caller would fill them; the numbers of the fit are those of lavaan 0.6.14."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd

from fosa_sem.report.records import Distribution, FitReport, ImputationReport

MODEL = """
visual  =~ x1 + L2*x2 + x3
textual =~ x4 + x5 + x6
speed   =~ x7 + x8 + x9
speed ~ b1*visual + b2*textual
visual ~~ textual
tot := b1 + b2*L2
"""
NAMES = [f"x{number}" for number in range(1, 10)]
NASTY = (
    "<script>alert(1)</script>",
    "a\"b'c",
    "$x$ & y",
    "pipe|`code`*_bold_*",
    "変数" * 12,
    "line\nbreak\x1b[31m",
)

# parameterEstimates(sem(MODEL, HolzingerSwineford1939 with holes, missing = "ml"), standardized = TRUE)
PARAMETERS = """\
lhs;op;rhs;group;label;est;se;z;pvalue;ci_lower;ci_upper;std_lv;std_all;free
visual;=~;x1;1;;1;0;;;1;1;0.923802;0.790627;0
visual;=~;x2;1;L2;0.554104;0.113517;4.88123;1.05426e-06;0.331614;0.776593;0.511882;0.424838;1
visual;=~;x3;1;;0.688212;0.113821;6.04645;1.48068e-09;0.465128;0.911297;0.635772;0.564404;1
textual;=~;x4;1;;1;0;;;1;1;0.981294;0.839855;0
textual;=~;x5;1;;1.15016;0.0738336;15.5778;0;1.00545;1.29487;1.12865;0.863681;1
textual;=~;x6;1;;0.983503;0.0653008;15.0611;0;0.855516;1.11149;0.965106;0.861558;1
speed;=~;x7;1;;1;0;;;1;1;0.523771;0.491917;0
speed;=~;x8;1;;1.33979;0.218498;6.1318;8.68911e-10;0.911537;1.76803;0.701741;0.683461;1
speed;=~;x9;1;;1.40679;0.327379;4.29714;1.73017e-05;0.765143;2.04845;0.736838;0.728555;1
speed;~;visual;1;b1;0.296273;0.0718114;4.12571;3.696e-05;0.155525;0.437021;0.522552;0.522552;1
speed;~;textual;1;b2;0.0520019;0.0476539;1.09124;0.275167;-0.0413981;0.145402;0.0974265;0.0974265;1
visual;~~;textual;1;;0.399174;0.080762;4.9426;7.70859e-07;0.240884;0.557465;0.440336;0.440336;1
x1;~~;x1;1;;0.511846;0.127283;4.02131;5.78749e-05;0.262375;0.761317;0.511846;0.374908;1
x2;~~;x2;1;;1.18973;0.11559;10.2927;0;0.96318;1.41629;1.18973;0.819513;1
x3;~~;x3;1;;0.864682;0.100311;8.62004;0;0.668077;1.06129;0.864682;0.681448;1
x4;~~;x4;1;;0.402242;0.0543521;7.40067;1.35447e-13;0.295714;0.50877;0.402242;0.294644;1
x5;~~;x5;1;;0.433849;0.0647763;6.69764;2.11806e-11;0.306889;0.560808;0.433849;0.254055;1
x6;~~;x6;1;;0.32339;0.0489967;6.60023;4.10523e-11;0.227358;0.419422;0.32339;0.257718;1
x7;~~;x7;1;;0.859368;0.0991459;8.66771;0;0.665046;1.05369;0.859368;0.758018;1
x8;~~;x8;1;;0.561767;0.105665;5.31648;1.05794e-07;0.354667;0.768867;0.561767;0.532881;1
x9;~~;x9;1;;0.479937;0.106253;4.5169;6.27502e-06;0.271684;0.68819;0.479937;0.469207;1
visual;~~;visual;1;;0.853411;0.159119;5.36335;8.16933e-08;0.541543;1.16528;1;1;1
textual;~~;textual;1;;0.962938;0.118676;8.11401;4.44089e-16;0.730338;1.19554;1;1;1
speed;~~;speed;1;;0.184522;0.0744808;2.47744;0.0132328;0.0385422;0.330501;0.672612;0.672612;1
x1;~1;;1;;4.9505;0.0696679;71.0586;0;4.81396;5.08705;4.9505;4.23684;1
x2;~1;;1;;6.10146;0.0732219;83.3284;0;5.95795;6.24497;6.10146;5.06392;1
x3;~1;;1;;2.25144;0.0686452;32.7981;0;2.11689;2.38598;2.25144;1.9987;1
x4;~1;;1;;3.07958;0.0692694;44.4581;0;2.94382;3.21535;3.07958;2.6357;1
x5;~1;;1;;4.35853;0.0778163;56.0105;0;4.20601;4.51104;4.35853;3.3353;1
x6;~1;;1;;2.19749;0.0665862;33.0022;0;2.06698;2.32799;2.19749;1.96171;1
x7;~1;;1;;4.1736;0.0655323;63.6876;0;4.04516;4.30204;4.1736;3.91977;1
x8;~1;;1;;5.51931;0.0625471;88.2424;0;5.39672;5.6419;5.51931;5.37554;1
x9;~1;;1;;5.39592;0.0604603;89.2473;0;5.27742;5.51442;5.39592;5.33526;1
visual;~1;;1;;0;0;;;0;0;0;0;0
textual;~1;;1;;0;0;;;0;0;0;0;0
speed;~1;;1;;0;0;;;0;0;0;0;0
tot;:=;b1+b2*L2;1;tot;0.325087;0.0690553;4.70764;2.50603e-06;0.189741;0.460433;0.572423;0.563942;0
"""
FIT_MEASURES = {
    "npar": 30,
    "fmin": 0.096308,
    "chisq": 57.977573,
    "df": 24,
    "pvalue": 0.000123,
    "baseline.chisq": 749.998853,
    "baseline.df": 36,
    "baseline.pvalue": 0.0,
    "cfi": 0.952412,
    "tli": 0.928618,
    "cfi.robust": 0.947712,
    "tli.robust": 0.921568,
    "logl": -3311.178159,
    "unrestricted.logl": -3282.189372,
    "aic": 6682.356317,
    "bic": 6793.569625,
    "bic2": 6698.426686,
    "rmsea": 0.068582,
    "rmsea.ci.lower": 0.046193,
    "rmsea.ci.upper": 0.091314,
    "rmsea.ci.level": 0.9,
    "rmsea.pvalue": 0.082556,
    "rmsea.close.h0": 0.05,
    "rmsea.notclose.pvalue": 0.216876,
    "rmsea.notclose.h0": 0.08,
    "rmsea.robust": 0.080221,
    "rmsea.ci.lower.robust": 0.054454,
    "rmsea.ci.upper.robust": 0.106432,
    "rmsea.pvalue.robust": 0.028701,
    "rmsea.notclose.pvalue.robust": 0.532329,
    "srmr": 0.055534,
}
SCALED = {
    "chisq.scaled": 44.033,
    "df.scaled": 30,
    "pvalue.scaled": 0.047,
    "chisq.scaling.factor": 0.970,
    "baseline.chisq.scaled": 563.583,
    "baseline.df.scaled": 42,
    "baseline.pvalue.scaled": 0.0,
    "baseline.chisq.scaling.factor": 1.018,
    "cfi.scaled": 0.973,
    "tli.scaled": 0.962,
    "scaling.factor.h0": 0.955,
    "scaling.factor.h1": 1.020,
    "rmsea.scaled": 0.056,
    "rmsea.ci.lower.scaled": 0.002,
    "rmsea.ci.upper.scaled": 0.090,
    "rmsea.pvalue.scaled": 0.368,
    "rmsea.notclose.pvalue.scaled": 0.102,
}
R2 = [0.625, 0.180, 0.319, 0.705, 0.746, 0.742, 0.242, 0.467, 0.531, 0.327]


def _parameters() -> pd.DataFrame:
    frame = pd.read_csv(io.StringIO(PARAMETERS), sep=";", keep_default_na=False, na_values=["NA"])
    for column in ("z", "pvalue"):
        frame[column] = pd.to_numeric(frame[column])
    return frame.assign(free=frame["free"] == 1)


def _patterns(observed: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(observed.astype(int), columns=NAMES)
    counts = frame.value_counts().rename("n").reset_index()
    return counts.sort_values(["n", *NAMES], ascending=False, ignore_index=True)


def fit_report() -> FitReport:
    """One group, plain ML."""
    rng = np.random.default_rng(7)
    observed = rng.random((301, 9)) > 0.12
    values = rng.multivariate_normal(np.zeros(9), 0.4 + 0.6 * np.eye(9), size=301)
    share = (observed.T.astype(float) @ observed) / 301
    cov = pd.DataFrame(np.cov(values.T), index=NAMES, columns=NAMES)
    patterns = _patterns(observed)
    return FitReport(
        title="fosa_sem 0.1.0: structural equation model",
        model=MODEL,
        call=(
            ("Function", "sem"),
            ("Estimator", "ML"),
            ("Missing data", "fiml"),
            ("Engine", "native"),
            ("Exogenous variables fixed", "no"),
            ("Standard errors", "standard"),
            ("Information", "observed"),
            ("Observed information based on", "hessian"),
        ),
        converged=True,
        iterations=55,
        npar=30,
        n_equality=0,
        group_labels=("all",),
        n_given=305,
        n_used=301,
        n_by_group=(301,),
        dropped=(("no modelled variable observed", 4),),
        n_patterns=(len(patterns),),
        patterns=patterns,
        coverage=(pd.DataFrame(share, index=NAMES, columns=NAMES),),
        missing_rates=pd.Series(1 - observed.mean(axis=0), index=NAMES),
        audit=(
            ("Projected gradient in the metric of the information", "3.1e-09"),
            ("Projected information", "positive definite"),
            ("Negative variances", "none"),
            ("Smallest eigenvalue of the implied covariances", "0.21"),
        ),
        fit_measures=pd.Series(FIT_MEASURES),
        parameters=_parameters(),
        r2=pd.DataFrame({"group": 1, "variable": [*NAMES, "speed"], "r2": R2}),
        notes=(
            'FIML was used for missing values; the default of lavaan is "listwise".',
            "Missing at random cannot be tested from the data alone.",
        ),
        saturated=((pd.Series(values.mean(axis=0) + 4, index=NAMES), cov),),
        residual_correlations=(
            pd.DataFrame(np.corrcoef(values.T) * 0.15 * np.sign(cov - 0.45), index=NAMES, columns=NAMES),
        ),
        statements=(("Where data and code can be found", "osf.example/abcde"),),
    )


def grouped_report() -> FitReport:
    """Two groups, MLR, equality constraints, a listed constraint."""
    one = fit_report()
    plain = one.parameters[one.parameters["op"] != ":="]
    both = [plain.assign(group=1), plain.assign(group=2, est=plain["est"] + 0.007)]
    extra = pd.DataFrame([{"lhs": "b1", "op": "==", "rhs": "b2", "label": "", "group": 0, "est": 0.0, "free": False}])
    defined = one.parameters[one.parameters["op"] == ":="].assign(group=0)
    r2 = [one.r2, one.r2.assign(group=2, r2=one.r2["r2"] / 2)]
    return replace(
        one,
        group_labels=("Pasteur", "Grant-White"),
        n_by_group=(156, 145),
        n_patterns=(41, 40),
        n_equality=6,
        patterns=pd.concat([one.patterns.assign(group=1), one.patterns.assign(group=2)], ignore_index=True),
        coverage=one.coverage * 2,
        saturated=one.saturated * 2,
        residual_correlations=one.residual_correlations * 2,
        fit_measures=pd.Series({**FIT_MEASURES, **SCALED}),
        parameters=pd.concat([*both, defined, extra], ignore_index=True),
        r2=pd.concat(r2, ignore_index=True),
    )


def renamed(report: FitReport, names: dict[str, str]) -> FitReport:
    """The same fit with other variable names, everywhere."""
    parameters = report.parameters.assign(
        lhs=report.parameters["lhs"].replace(names),
        rhs=report.parameters["rhs"].replace(names),
        label=report.parameters["label"].replace(names),
    )
    return replace(
        report,
        patterns=report.patterns.rename(columns=names),
        coverage=tuple(frame.rename(index=names, columns=names) for frame in report.coverage),
        missing_rates=report.missing_rates.rename(index=names),
        parameters=parameters,
        r2=report.r2.assign(variable=report.r2["variable"].replace(names)),
        saturated=tuple((m.rename(index=names), c.rename(index=names, columns=names)) for m, c in report.saturated),
    )


def imputation_report(names: list[str] = NAMES, seeds: int = 3) -> ImputationReport:
    """Metrics of three methods, a training curve, gates and distributions."""
    rng = np.random.default_rng(3)
    rows = []
    for seed in range(seeds):
        for method, mse in (("mean", 1.0), ("sem", 0.66), ("refined", 0.61)):
            for name in [*names, "overall"]:
                error = mse + rng.normal(scale=0.03)
                rows.append(
                    {
                        "seed": seed,
                        "method": method,
                        "variable": name,
                        "n_masked": 60,
                        "missing_rate": 0.2,
                        "mse": error,
                        "rmse": error**0.5,
                        "mae": 0.8 * error**0.5,
                        "r2": 1 - error,
                        "kl": 0.4 * error,
                        "wasserstein": 0.3 * error,
                        "cov_error": 0.2 * error,
                    }
                )
    epochs = np.arange(0, 1001, 10)
    loss = 0.6 + 0.5 * np.exp(-epochs / 200) + rng.normal(scale=0.01, size=epochs.size)
    history = pd.DataFrame(
        {"epoch": epochs, "mse": loss * 0.6, "covariance": loss * 0.3, "l1": loss * 0.1, "total": loss}
    )
    history["heldout_mse"] = np.where(epochs % 100 == 0, 0.60 + 0.07 * np.exp(-epochs / 250), np.nan)
    history["baseline_mse"] = 0.66
    gain = rng.normal(0.03, 0.03, size=len(names))
    gates = pd.DataFrame(
        {"variable": names, "gate": (gain > 0.015).astype(float), "gain": gain, "se": 0.012, "n_heldout": 260}
    )
    distributions = []
    for name in names:
        values = rng.normal(5, 1.2, size=265)
        sem = rng.normal(5, 0.7, size=36)
        distributions.append(
            Distribution(variable=name, observed=values, sem=sem, refined=sem + rng.normal(0, 0.4, size=36))
        )
    return ImputationReport(
        metrics=pd.DataFrame(rows),
        history=history,
        gates=gates,
        distributions=tuple(distributions),
        notes=("Cells were hidden completely at random.",),
    )
