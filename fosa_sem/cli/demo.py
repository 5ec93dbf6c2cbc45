"""``fosa-sem demo``: the main job on the bundled NHANES extract, from fit to report."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from fosa_sem.cli.commands import filled_text, imputation_text
from fosa_sem.cli.files import check_report
from fosa_sem.datasets import load_nhanes
from fosa_sem.refine.config import RefinerConfig
from fosa_sem.report.plain import WIDTH

REPORT = "fosa_report.html"

MODEL = """\
# Adiposity, and blood pressure by three readings each
adiposity =~ waist + bmi + weight
systolic  =~ systolic1 + systolic2 + systolic3
diastolic =~ diastolic1 + diastolic2 + diastolic3

# Age and sex; glycaemia and lipids also depend on adiposity
adiposity ~ age + female
systolic + diastolic ~ adiposity + age + female
hba1c + hdl_cholesterol + total_cholesterol ~ adiposity + age + female

# At equal body mass index, waist and weight still differ by age and sex
waist + weight ~ age + female

# What the outcomes share beyond adiposity, age and sex
systolic  ~~ diastolic + hba1c + hdl_cholesterol + total_cholesterol
diastolic ~~ hba1c + hdl_cholesterol + total_cholesterol
hba1c     ~~ hdl_cholesterol + total_cholesterol
hdl_cholesterol ~~ total_cholesterol

# Both pressures of one reading come from one inflation of the cuff
systolic1 ~~ diastolic1
systolic2 ~~ diastolic2
systolic3 ~~ diastolic3
"""

UNWEIGHTED = (
    "NHANES is used unweighted here, without its survey weights and strata: the estimates describe the "
    "persons in the extract and are no population estimates."
)
CHOSEN_ON_THESE_DATA = (
    "The model is an illustration. The paths from age and sex to waist and weight were added after a look at "
    "its fit to these data, so that fit measures and p-values are optimistic."
)
SHORT_TRAINING = (
    "The refiner's training is set so that the demonstration takes less than a minute on two cores: "
    "two folds, smaller networks, fewer epochs with more rows in each, and larger steps than by default."
)


def demo_config(seed: int = 0) -> RefinerConfig:
    """Options of the demonstration's refiner: two trainings within a minute on two cores."""
    return RefinerConfig(
        heads=2, width=16, layers=1, folds=2, epochs=30, check_every=10, dropout=0.0, learning_rate=0.02,
        rows_per_epoch=1024, batch_size=256, seed=seed,
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Fit, fill, refine, evaluate, print the summary and the metrics, and write the report."""
    path = Path(args.output) / REPORT
    check_report(str(path))
    from fosa_sem.imputer import FosaImputer

    print(_opening(), end="\n\n", flush=True)
    imputer = FosaImputer(MODEL, refiner=demo_config(args.seed)).fit(load_nhanes())
    imputer.evaluate(seeds=(args.seed,))
    imputer.report(path, notes=(UNWEIGHTED, CHOSEN_ON_THESE_DATA, SHORT_TRAINING))
    print(imputer.sem_results_.summary(), end="\n\n")
    print(filled_text(imputer), end="\n\n")
    print(imputation_text(imputer), end="\n\n")
    print(textwrap.fill(UNWEIGHTED, WIDTH), end="\n\n")
    print(f"Report: {path}")


def _opening() -> str:
    facts = (
        "Adults of NHANES 2017-2018. A structural equation model is fitted by FIML; missing cells are filled "
        "with the conditional expectations that it implies, which self-attention refines. Then 10% of the "
        "observed cells are hidden and everything is done once more without them, to see how well they are "
        "recovered. This takes up to a minute."
    )
    return "\n\n".join(textwrap.fill(text, WIDTH) for text in (facts, UNWEIGHTED, CHOSEN_ON_THESE_DATA))
