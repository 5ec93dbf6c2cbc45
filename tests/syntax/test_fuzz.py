"""Mutated models are read or refused, never anything else; ``python -m tests.syntax.fuzz`` runs many more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from fuzz import CORPUS, main, models, mutate, outcome


def test_three_thousand_mutated_models() -> None:
    found = [(outcome(model, options), model) for model, options in models(3_000, seed=1)]
    assert [case for case in found if case[0].startswith("violation")] == []
    counts = Counter(result for result, _ in found)
    assert min(counts[kind] for kind in ("read", "ModelSyntaxError", "ModelSpecificationError")) > 100


@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_the_models_that_are_mutated_are_real(number: int) -> None:
    results = {outcome(CORPUS[number], options) for options in ({}, {"ngroups": 2})}
    assert results <= {"read", "ModelSpecificationError"}


def test_the_same_seed_gives_the_same_strings() -> None:
    assert list(models(50, seed=7)) == list(models(50, seed=7))
    assert mutate(CORPUS[0], np.random.default_rng(0)) != mutate(CORPUS[0], np.random.default_rng(1))


def test_the_command_counts_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--n", "20", "--seed", "3"]) in (0, 1)
    printed = capsys.readouterr().out
    assert printed.startswith("20 strings:")
    assert "slowest" in printed


def test_a_violation_is_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(model: str) -> None:
        raise KeyError(model)

    monkeypatch.setattr("fuzz.parse", broken)
    assert main(["--n", "5"]) == 1
    assert "violation: KeyError" in capsys.readouterr().out
