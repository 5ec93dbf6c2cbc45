"""Fuzz the reader of models: ``python -m tests.syntax.fuzz [--n 200000] [--seed 0]``.

Real models are mutated by character and by token. Every string must be read, or be refused with one of our two errors,
by `parse` and by `parameter_table`, within 50 ms; otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from fosa_sem import parameter_table, parse
from fosa_sem.errors import FosaWarning, ModelSpecificationError, ModelSyntaxError

LIMIT = 0.05
"""Seconds that one string may take."""
MAX_LENGTH = 2_000
"""Characters: mutation is not meant to build ever longer models."""

CORPUS = (
    "f =~ x1 + x2 + x3",
    "visual =~ x1 + x2 + x3\ntextual =~ x4 + x5 + x6\nspeed =~ x7 + x8 + x9",
    "# measurement\nind60 =~ x1 + x2 + x3\ndem60 =~ y1 + a*y2 + b*y3 + c*y4\ndem65 =~ y5 + a*y6 + b*y7 + c*y8\n"
    "# regressions\ndem60 ~ ind60\ndem65 ~ ind60 + dem60\n# residuals\ny1 ~~ y5\ny2 ~~ y4 + y6\ny3 ~~ y7",
    "m ~ a*x\ny ~ b*m + c*x\nab := a*b\ntotal := c + (a*b)",
    "i =~ 1*t1 + 1*t2 + 1*t3 + 1*t4\ns =~ 0*t1 + 1*t2 + 2*t3 + 3*t4\ni ~ x1 + x2\ns ~ x1 + x2\nt1 ~ c1",
    "top =~ f + g + h\nf =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nh =~ x7 + x8 + x9",
    "g =~ x1 + x2 + x3 + x4\ns =~ x1 + x2\nt =~ x3 + x4\ng ~~ 0*s\ng ~~ 0*t\ns ~~ 0*t",
    "c <~ x1 + x2 + 0.5*x3\ny =~ y1 + y2 + y3\ny ~ c",
    "f =~ NA*x1 + x2 + x3\nf ~~ 1*f",
    "f =~ x1 + c(a, b)*x2 + c(NA, 0.5)*x3\nf ~ c(0, NA)*1",
    'f =~ x1 + rep("a", 2)*x2 + c(paste("b", 1), paste0("b", 2))*x3',
    "group: 1\nf =~ x1 + x2 + x3\ngroup: 2\nf =~ x1 + l*x2 + x3\nf ~ 1",
    "level: 1\nfw =~ y1 + y2 + y3\nfw ~ x1\nlevel: 2\nfb =~ y1 + y2 + y3\nfb ~ w1",
    "f =~ x1 + start(0.8)*x2 + lower(0)*x3 + upper(2)*x4\nx1 ~~ lower(0.01)*x1",
    "f =~ x1 + a*x2 + b*x3\na == b\na > 0\nb < 2*a + exp(0.1)",
    'f =~ x1 + x2 + equal("f=~x2")*x3',
    "y1 + y2 ~ 1 + x1 + x2 + x1:x2\ny1 ~~ 0*y2",
    "y ~ x\nx ~~ x\nx ~ 1\ny ~ 0*1",
    "x | t1 + t2\nf =~ x + z\nx ~*~ 1*x",
    'efa("block")*f1 + efa("block")*f2 =~ x1 + x2 + x3 + x4',
    'level: 1\ny ~ rv("s")*x\nlevel: 2\ny ~~ s',
    "f =~ 0\nf ~~ 1*f\ny ~ f + x",
    "f + g =~ x1 + x2 + x3\nf ~~ 0*g",
    "Größe =~ été + x.1 + .y + x_2\nT ~ Größe",
    "f =~ (1/2)*x1 + 2^3*x2 + -1.5*x3 + 1e-2*x4 + sqrt(2)*x5",
    "f=~x1+x2+x3;g=~x4+x5+x6;f~~g;f~~1*f",
    "f =~ x1 +  # first\n     x2 +  ! second\n     x3\n\n\ng =~ x4\n  + x5\n  + x6\n",
    "y ~ b1*x1 + b2*x2 + b3*x3\nb1 == b2\nb3 == 2*b1 - b2/3\nq := sqrt(b1^2 + b2^2)\nr := log(abs(q)) * sin(b3)",
    "y1 ~ y2 + x1\ny2 ~ y1 + x2\ny1 ~~ y2",
    "l1 =~ 1*y1\nl2 =~ 1*y2\nd =~ 1*l2\nl2 ~ 1*l1\nd ~ l1\nd ~ 1\nl1 ~ 1\ny1 ~ 0*1\ny2 ~ 0*1\ny1 ~~ e*y1\ny2 ~~ e*y2",
    "f =~ a*x1 + a*x2 + a*x3\nf ~~ f\nx1 ~~ v*x1\nx2 ~~ v*x2\nx3 ~~ v*x3",
    "y ~ label('a')*x + start(1)*x + lower(-1)*x + upper(1)*x",
    "wx =~ 1*x1 + 1*x2\nwy =~ 1*y1 + 1*y2\nx2 ~ ax*x1 + cy*y1\ny2 ~ ay*y1 + cx*x1\nx2 ~~ y2\nx1 ~~ y1",
    "f =~ x1 + x2 + x3\nf ~ sex + age\nx2 ~ sex",
    "income ~ educ + age\nhealth ~ income + educ\nincome ~~ educ\neffect := 1",
    "trait1 =~ m1 + m2 + m3\ntrait2 =~ m4 + m5 + m6\nmethod =~ m1 + m4\nmethod ~~ 0*trait1 + 0*trait2",
    "x1 ~~ x2 + x3 + x4\nx2 ~~ x3 + x4\nx3 ~~ 0*x4\nx1 + x2 + x3 + x4 ~ 1",
    "eta1 =~ y1 + y2 + y3\neta2 =~ 1*y4 + lam*y5 + lam*y6\neta2 ~ beta*eta1\neta1 ~~ psi*eta1\nratio := beta/psi\n"
    "lam > 0.1",
    ".p1. == .p2.\ny ~ x1 + x2",
    "y ~ min(1, 2)*x + max(0.5, 3)*z",
)

INSERTED = (
    *"=~+*-^/()<>:;,.#!|\"'\n\t 019eaxf_é%&[]{}$@`\\\0\u2212\u201c",
    "=~", "~~", "~1", ":=", "==", "<~", "~*~", "c(", "NA", "start(", "equal(", "lower(", "rep(", "label(", "efa(",
    "group:", "level:", "1e999", "-1", "0", "Inf", "paste0(", "exp(", "f", "x1", "a", "*1", "x1:x2", "999", "TRUE",
)  # fmt: skip
PIECES = re.compile(r"[\w.]+|\s+|=~|~~|:=|==|<~|.", re.DOTALL)
OPTIONS = (
    {"func": "sem"}, {"func": "cfa", "std_lv": True}, {"func": "growth"}, {"func": "lavaan"},
    {"func": "sem", "fixed_x": True}, {"func": "sem", "ngroups": 2},
    {"func": "cfa", "ngroups": 2, "group_equal": ("loadings", "intercepts", "residuals")},
)  # fmt: skip


def mutate(model: str, rng: np.random.Generator) -> str:
    """Change a model in a few places, most often in one or two, in characters or in tokens."""
    for _ in range(rng.geometric(0.5)):
        parts = PIECES.findall(model) if rng.random() < 0.6 else list(model)
        model = "".join(_change(parts, rng))[:MAX_LENGTH]
    return model


def _change(parts: list[str], rng: np.random.Generator) -> list[str]:
    """Insert, delete, swap, duplicate, cut out, splice, or write another name."""
    i, j = (int(rng.integers(0, len(parts) + 1)) for _ in range(2))
    what = rng.integers(0, 8)
    if what == 0:
        return [*parts[:i], INSERTED[rng.integers(len(INSERTED))], *parts[i:]]
    if what == 1:
        return parts[:i] + parts[i + 1 :]
    if what == 2 and i < len(parts) and j < len(parts):
        parts[i], parts[j] = parts[j], parts[i]
        return parts
    if what == 3:
        low, high = min(i, j), min(max(i, j), min(i, j) + 12)
        return [*parts[:high], *parts[low:high], *parts[high:]]
    if what == 4:
        low = min(i, j)
        return parts[:low] + parts[min(max(i, j), low + 12) :]
    if what > 5:
        names = [k for k, part in enumerate(parts) if part[0].isalpha()]
        if len(names) > 1:
            first, second = rng.choice(names, 2)
            parts[first] = parts[second]
        return parts
    other = PIECES.findall(CORPUS[rng.integers(len(CORPUS))])
    at = int(rng.integers(0, len(other)))
    return [*parts[:i], *other[at : at + int(rng.integers(1, 12))], *parts[i:]]


def models(n: int, seed: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Mutated models, each with options for its table."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        options = OPTIONS[rng.integers(len(OPTIONS))]
        yield mutate(CORPUS[rng.integers(len(CORPUS))], rng), options


def outcome(model: str, options: dict[str, object]) -> str:
    """What becomes of a model: 'read', the name of our error, or what must never happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FosaWarning)
        by_parse = _outcome(lambda: parse(model))
        by_table = _outcome(lambda: parameter_table(model, **options))  # type: ignore[arg-type]
    if by_table == "read" and by_parse == ModelSyntaxError.__name__:
        return "violation: parse refuses what parameter_table reads"
    return by_parse if by_parse.startswith("violation") else by_table


def _outcome(read: Callable[[], object]) -> str:
    try:
        read()
    except (ModelSyntaxError, ModelSpecificationError) as error:
        return type(error).__name__ if str(error).strip() else "violation: an error without words"
    except Exception as error:  # what else comes out is what is looked for
        return f"violation: {type(error).__name__}: {error}"
    return "read"


def seconds(model: str, options: dict[str, object]) -> float:
    """Time of one reading; a slow one is the best of five, so that other work on the machine does not count."""
    times = []
    for _ in range(5):
        start = perf_counter()
        outcome(model, options)
        times.append(perf_counter() - start)
        if times[0] < LIMIT:
            break
    return min(times)


@dataclass(slots=True)
class Summary:
    """Counts, violations, and the slowest string."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    too_slow: int = 0

    def add(self, model: str, result: str, time: float) -> None:
        """Count one string."""
        self.counts[result.split(":")[0]] += 1
        self.too_slow += time > LIMIT
        self.slowest = max(self.slowest, (time, model))
        if result.startswith("violation"):
            self.violations.append((result, model))


def main(arguments: list[str] | None = None) -> int:
    """Run and print a summary; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    summary = Summary()
    for model, options in models(chosen.n, chosen.seed):
        start = perf_counter()
        result = outcome(model, options)
        time = perf_counter() - start
        summary.add(model, result, time if time < LIMIT else seconds(model, options))
    sys.stdout.write(f"{chosen.n} strings: {dict(summary.counts)}\n")
    sys.stdout.write(f"over {LIMIT * 1e3:.0f} ms: {summary.too_slow}\n")
    time, model = summary.slowest
    sys.stdout.write(f"slowest: {time * 1e3:.1f} ms, {model!r}\n")
    for result, model in summary.violations[:20]:
        sys.stdout.write(f"{result}\n    {model!r}\n")
    return int(bool(summary.violations) or summary.too_slow > 0)


if __name__ == "__main__":
    sys.exit(main())
