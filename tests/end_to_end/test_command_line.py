from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import fosa_sem
from fosa_sem import FosaImputer, RefinerConfig, read_table, sem
from fosa_sem.cli import command_line, commands, demo, main
from fosa_sem.datasets import load_holzinger_swineford, load_nhanes
from fosa_sem.evaluate.baselines import saturated_fiml
from fosa_sem.evaluate.experiment import Method

MODEL = "visual  =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed   =~ x7 + x8 + x9\n"
TESTS = [f"x{i}" for i in range(1, 10)]
SHORT = RefinerConfig(epochs=2, width=8, heads=2, layers=1, folds=2, check_every=1)
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a model and a table with holes in it."""
    frame = load_holzinger_swineford()[["id", "school", *TESTS]]
    holes = np.random.default_rng(3).random((len(frame), 9)) < 0.15
    frame[TESTS] = frame[TESTS].mask(holes)
    frame.to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "model.txt").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# ---- what the commands do ----------------------------------------------------------------------------------


def test_fit_prints_the_summary_and_nothing_else(folder: Path, capsys: Capture) -> None:
    assert main(["fit", "model.txt", "data.csv", "--func", "cfa"]) == 0
    out, err = capsys.readouterr()
    assert out.rstrip("\n").startswith("fosa_sem")
    assert "cfa" in out
    assert f"{sem(MODEL, read_table('data.csv')).fit_measures('chisq').iloc[0]:.3f}" in out
    assert err == ""
    assert names(folder) == {"data.csv", "model.txt"}


def test_fit_passes_its_options_on(folder: Path, capsys: Capture) -> None:
    arguments = ["--std-lv", "--group", "school", "--ci", "--no-fixed-x", "--report", "fit.md"]
    assert main(["fit", "model.txt", "data.csv", *arguments]) == 0
    out = capsys.readouterr().out
    assert "ci.lower" in out or "ci.low" in out
    assert "Grant-White" in out
    results = sem(MODEL, read_table("data.csv"), std_lv=True, group="school")
    assert f"{results.fit_measures('chisq').iloc[0]:.3f}" in out
    assert out.endswith("Written: fit.md\n")
    assert "Grant-White" in (folder / "fit.md").read_text(encoding="utf-8")


def test_model_comes_from_standard_input_too(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("x1 ~~ x2"))
    assert main(["fit", "-", "data.csv"]) == 0
    assert "x1 ~~" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".sav", ".dta"])
def test_impute_writes_what_the_imputer_fills(folder: Path, capsys: Capture, suffix: str) -> None:
    out = f"filled{suffix}"
    assert main(["impute", "model.txt", "data.csv", "-o", out, "--no-refine"]) == 0
    data = read_table("data.csv")
    expected = FosaImputer(MODEL, refiner=None).fit_transform(data)
    pd.testing.assert_frame_equal(read_table(out), expected, check_dtype=False)
    text, err = capsys.readouterr()
    assert f"Written: {out}" in text
    assert err == ""
    row = next(line for line in text.splitlines() if line.startswith("  x1 "))
    assert row.split() == ["x1", str(data["x1"].isna().sum()), str(data["x1"].isna().sum()), "0"]
    assert names(folder) == {"data.csv", "model.txt", out}


@pytest.mark.parametrize("fill", ["expected", "category"])
def test_impute_fills_categories_as_asked(folder: Path, capsys: Capture, fill: str) -> None:
    frame = pd.read_csv("data.csv")
    frame["fast"] = np.where(frame["x9"] > frame["x9"].mean(), "yes", "no")
    frame.loc[frame["x9"].isna() & frame["x7"].notna(), "fast"] = None
    frame.to_csv("data.csv", index=False)
    (folder / "model.txt").write_text("fast ~ x7 + x8", encoding="utf-8")
    assert main(["impute", "model.txt", "data.csv", "-o", "out.csv", "--no-refine", "--fill", fill]) == 0
    found, data = read_table("out.csv"), read_table("data.csv")
    expected = FosaImputer("fast ~ x7 + x8", refiner=None, output=fill).fit_transform(data)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    whole = set(found["fast"].unique()) <= {"yes", "no"}
    assert whole == (fill == "category")
    capsys.readouterr()


def test_impute_refines_by_the_given_seed(folder: Path, capsys: Capture) -> None:
    arguments = ["impute", "model.txt", "data.csv", "--epochs", "2", "--seed", "5", "-o"]
    assert main([*arguments, "a.csv", "--report", "a.txt"]) == 0
    assert main([*arguments, "b.csv"]) == 0
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()
    imputer = FosaImputer(MODEL, refiner=RefinerConfig(epochs=2, seed=5))
    pd.testing.assert_frame_equal(read_table("a.csv"), imputer.fit_transform(read_table("data.csv")))
    assert "Gates" in (folder / "a.txt").read_text(encoding="utf-8")
    capsys.readouterr()


def test_report_evaluates_on_hidden_cells(folder: Path, capsys: Capture) -> None:
    arguments = ["report", "model.txt", "data.csv", "-o", "all.md", "--no-refine", "--proportion", "0.2"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert "Column mean" in out
    assert "SEM" in out
    assert err == ""
    assert "Accuracy of imputed values" in (folder / "all.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "model.txt", "data.csv"],
        ["impute", "model.txt", "data.csv", "-o", "f.csv", "--no-refine"],
        ["report", "model.txt", "data.csv", "-o", "f.txt", "--epochs", "1"],
        ["--help"],
        ["demo", "--help"],
        ["fit", "--help"],
        ["impute", "--help"],
        ["report", "--help"],
        ["compare", "--help"],
    ],
)
def test_output_fits_80_columns(
    folder: Path, capsys: Capture, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    try:
        code = main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    out = capsys.readouterr().out
    assert code == 0
    assert out.strip()
    assert max(map(len, out.splitlines())) <= 80


def test_compare_scores_what_the_functions_score(folder: Path, capsys: Capture) -> None:
    arguments = ["--methods", "saturated", "fosa", "--epochs", "2", "--proportion", "0.2", "--seeds", "1", "2"]
    outputs = ["-o", "scores.csv", "--figure", "scores.png"]
    assert main(["compare", "model.txt", "data.csv", *arguments, *outputs]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("saturated", "SEM", "SEM + refiner", "2 seeds"))
    assert max(map(len, out.splitlines())) <= 80
    data = read_table("data.csv")[TESTS]

    def fosa(table: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
        imputer = FosaImputer(MODEL, refiner=RefinerConfig(epochs=2, seed=seed)).fit(table)
        return {"sem": imputer.completion_.to_frame(), "refined": imputer.refined_.to_frame()}

    methods: dict[str, Method] = {"saturated": saturated_fiml, "fosa": fosa}
    expected = fosa_sem.compare(data, methods, proportion=0.2, seeds=(1, 2))
    pd.testing.assert_frame_equal(read_table("scores.csv"), expected)
    assert (folder / "scores.png").stat().st_size > 5_000


def test_compare_hides_cells_by_a_mechanism_and_knows_groups(folder: Path, capsys: Capture) -> None:
    read_table("data.csv").dropna().to_csv("data.csv", index=False)
    arguments = ["--methods", "mean", "fosa", "--no-refine", "--mechanism", "MNAR", "--group", "school"]
    assert main(["compare", "model.txt", "data.csv", *arguments]) == 0
    out = capsys.readouterr().out
    assert "Column mean" in out
    assert "refiner" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figure", "scores.txt"], "must end in .png, .svg, .pdf"),
        (["-o", "data.csv"], "data.csv is an input"),
        (["--mechanism", "MAR"], "has holes"),
        (["--proportion", "2"], "proportion must be"),
    ],
)
def test_compare_says_what_is_wrong(folder: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    assert main(["compare", "model.txt", "data.csv", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert names(folder) == {"data.csv", "model.txt"}


def test_demo_runs_the_whole_job(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "load_nhanes", lambda: load_nhanes().iloc[:600])
    monkeypatch.setattr(demo, "demo_config", lambda seed: SHORT)
    assert main(["demo", "--output", str(tmp_path), "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for part in (
        "no population estimates",
        "Comparative Fit Index",
        "Column mean",
        "SEM + refiner",
        "Filled Cells",
    ):
        assert part in " ".join(out.split())
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80
    page = (tmp_path / "fosa_report.html").read_text(encoding="utf-8")
    assert "no population estimates" in page
    assert "Accuracy of imputed values" in page
    assert names(tmp_path) == {"fosa_report.html"}


def test_the_model_of_the_demo_fits_nhanes() -> None:
    results = sem(demo.MODEL, load_nhanes(), fixed_x=False)
    fit = results.fit_measures(["cfi", "rmsea", "srmr"])
    assert results.converged
    assert results.nobs == 5265
    assert fit["cfi"] > 0.98
    assert fit["rmsea"] < 0.06
    assert fit["srmr"] < 0.05


@pytest.mark.slow
def test_the_refiner_of_the_demo_gains_on_hidden_cells() -> None:
    imputer = FosaImputer(demo.MODEL, refiner=demo.demo_config(3)).fit(load_nhanes())
    overall = imputer.evaluate(seeds=(3,)).query("variable == 'overall'").set_index("method")["mse"]
    assert overall["refined"] < overall["sem"] < overall["mean"]


# ---- bad input: exit code 2, one line, nothing written -----------------------------------------------------

BAD_INPUT = [
    (["fit", "model.txt", "none.csv"], "none.csv: no such file"),
    (["fit", "none.txt", "data.csv"], "none.txt: cannot be read as a model"),
    (["fit", "f =~ x1 + x2", "data.csv"], "pipe it in"),
    (["fit", ".", "data.csv"], "cannot be read as a model"),
    (["fit", "empty.txt", "data.csv"], "empty.txt: there is no model in it"),
    (["fit", "latin.txt", "data.csv"], "not UTF-8"),
    (["fit", "model.txt", "text.csv"], "'x1'"),
    (["fit", "model.txt", "data.xyz"], "unknown suffix"),
    (["fit", "model.txt", "data.csv", "--engine", "none"], "unknown engine 'none'"),
    (["fit", "model.txt", "data.csv", "--estimator", "WLS"], "WLS"),
    (["fit", "model.txt", "data.csv", "--group", "class"], "'class'"),
    (["fit", "model.txt", "data.csv", "--report", "r.pdf"], "must end in .html"),
    (["fit", "model.txt", "data.csv", "--report", "none/r.html"], "does not exist"),
    (["fit", "model.txt", "data.csv", "--report", "model.txt"], "model.txt is an input"),
    (["impute", "model.txt", "data.csv", "-o", "data.csv"], "data.csv is an input"),
    (["impute", "model.txt", "data.csv", "-o", "a.txt", "--report", "./a.txt"], "written already"),
    (["impute", "model.txt", "data.csv", "-o", "out.xlsx"], "cannot write out.xlsx: unknown suffix"),
    (["impute", "model.txt", "data.csv", "-o", "none/out.csv"], "does not exist"),
    (["impute", "model.txt", "data.csv", "-o", "sub"], "sub: it is a folder"),
    (["impute", "model.txt", "data.csv", "-o", "out.csv", "--epochs", "0"], "epochs=0"),
    (["impute", "model.txt", "data.csv", "-o", "out.csv", "--seed", "-1"], "seed"),
    (["report", "model.txt", "data.csv", "-o", "r"], "must end in .html"),
    (["report", "model.txt", "data.csv", "-o", "r.md", "--no-refine", "--proportion", "2"], "proportion"),
    (["demo", "--output", "none"], "does not exist"),
]


@pytest.fixture
def with_bad_files(folder: Path) -> Path:
    (folder / "sub").mkdir()
    (folder / "empty.txt").write_text(" \n", encoding="utf-8")
    (folder / "latin.txt").write_bytes("größe =~ x1".encode("latin-1"))
    (folder / "data.xyz").write_text("x1\n1\n", encoding="utf-8")
    read_table("data.csv").assign(x1="a lot").to_csv(folder / "text.csv", index=False)
    return folder


@pytest.mark.parametrize(("arguments", "said"), BAD_INPUT, ids=lambda value: " ".join(value)[-40:])
def test_bad_input_ends_with_one_line(with_bad_files: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in with_bad_files.iterdir()}
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("fosa-sem: error: ")
    assert said in err
    assert err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in with_bad_files.iterdir()} == before


@pytest.mark.parametrize(
    ("model", "where"),
    [("f =~ x1 +  + x3", "line 1, column 12"), ("f =~ x1 + x2\nf =~ x33", "line 2, column 6")],
)
def test_faults_of_the_model_are_shown_in_it(folder: Path, capsys: Capture, model: str, where: str) -> None:
    (folder / "bad.txt").write_text(model, encoding="utf-8")
    assert main(["fit", "bad.txt", "data.csv"]) == 2
    line, source, carets = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fosa-sem: error: bad.txt, {where}: ")
    assert source.strip() in model.splitlines()
    assert set(carets.strip()) == {"^"}


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["fit"], ["fit", "m", "d", "--wings"], ["impute", "m", "d"], ["demo", "--seed", "x"],
     ["impute", "m", "d", "-o", "x.csv", "--no-refine", "--epochs", "3"]],
)  # fmt: skip
def test_bad_arguments_end_with_one_line(capsys: Capture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert "error: " in err
    assert err.count("\n") == 1


def test_places_and_formats_are_checked_before_the_work(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        pytest.fail("the work has begun")

    monkeypatch.setattr(FosaImputer, "fit", work)
    monkeypatch.setattr(commands, "_FUNCTIONS", {"sem": work})
    read_table("data.csv").rename(columns={"school": "a school"}).to_csv("odd.csv", index=False)
    for arguments in (
        ["fit", "model.txt", "data.csv", "--report", "none/r.html"],
        ["impute", "model.txt", "data.csv", "-o", "none/out.csv"],
        ["impute", "model.txt", "data.csv", "-o", "out.csv", "--report", "r.pdf"],
        ["impute", "model.txt", "odd.csv", "-o", "out.dta"],
        ["report", "model.txt", "data.csv", "-o", "none/r.html"],
        ["demo", "--output", "none"],
    ):
        assert main(arguments) == 2
    assert "out.dta: Stata cannot hold this table" in capsys.readouterr().err


def test_html_without_its_packages_is_refused_before_the_work(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fosa_sem.cli.files.find_spec", lambda package: None)
    assert main(["demo"]) == 2
    assert 'pip install "fosa-sem[report]"' in capsys.readouterr().err
    assert names(folder) == {"data.csv", "model.txt"}


def test_a_failure_keeps_what_was_there(folder: Path, capsys: Capture) -> None:
    (folder / "out.csv").write_text("precious", encoding="utf-8")
    read_table("data.csv").assign(x1=1.0).to_csv(folder / "constant.csv", index=False)
    assert main(["impute", "model.txt", "constant.csv", "-o", "out.csv"]) == 2
    assert "constant" in capsys.readouterr().err
    assert (folder / "out.csv").read_text(encoding="utf-8") == "precious"
    assert names(folder) == {"data.csv", "model.txt", "out.csv", "constant.csv"}


# ---- warnings, interruption, pipes, further commands -------------------------------------------------------


def test_a_warning_is_one_line_said_once(folder: Path, capsys: Capture) -> None:
    data = read_table("data.csv")
    data.loc[3, TESTS] = np.nan
    data.to_csv("empty_row.csv", index=False)
    arguments = ["report", "model.txt", "empty_row.csv", "-o", "r.txt", "--no-refine"]
    assert main(arguments) == 0
    err = capsys.readouterr().err
    assert err == "warning: 1 of 301 rows were dropped: empty rows\n"


def test_interruption_is_quiet(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FosaImputer, "fit", interrupted)
    assert main(["impute", "model.txt", "data.csv", "-o", "out.csv"]) == 130
    assert capsys.readouterr().err == "fosa-sem: interrupted\n"
    assert names(folder) == {"data.csv", "model.txt"}


def run(*arguments: str) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own, with this package on its path."""
    paths = [str(Path(fosa_sem.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "fosa_sem.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    with run("fit", "model.txt", "data.csv") as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_it_runs_as_a_program_and_shows_no_progress_off_a_terminal(folder: Path) -> None:
    with run("impute", "model.txt", "data.csv", "-o", "out.csv", "--epochs", "1") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"Written: out.csv" in out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, contextlib, io\nfrom fosa_sem.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['--help'])\n"
        "print({'torch', 'sklearn', 'semopy', 'matplotlib', 'statsmodels'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def entry(name: str, load: Callable[[], object]) -> SimpleNamespace:
    return SimpleNamespace(name=name, load=load)


def test_other_packages_add_commands(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def register(subparsers) -> None:
        parser = subparsers.add_parser("greet", help="says hello")
        parser.add_argument("name")
        parser.set_defaults(run=lambda args: print(f"hello {args.name}") or 7)

    def absent() -> object:
        raise ImportError("No module named 'rpy2'")

    groups = {"fosa_sem.commands": [entry("greet", lambda: register), entry("crosscheck", absent)]}
    monkeypatch.setattr(command_line, "entry_points", lambda group: groups.get(group, []))
    assert main(["greet", "you"]) == 7
    out, err = capsys.readouterr()
    assert out == "hello you\n"
    assert err == "warning: command 'crosscheck' is not available: No module named 'rpy2'\n"


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert not end.value.code
    program, version = capsys.readouterr().out.split(maxsplit=1)
    assert program == "fosa-sem"
    assert version.strip()
