"""Timing and printing for every benchmark. The best of several rounds counts, because noise only
adds time.
"""

import dataclasses
import gc
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

__all__ = ["RECORD", "Figure", "best_us", "machine", "print_figures"]

RECORD = "BENCH_RECORD"
"""The environment variable that names a file. Figures are appended to it, one JSON object a line.
"""


@dataclass(frozen=True)
class Figure:
    """One measured number. *peers* holds the same number for other libraries, from the same run."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    peers: tuple[tuple[str, float], ...] = ()
    more_is_better: bool = False
    note: str = ""
    """A note on the row for readers."""

    @property
    def within_budget(self) -> bool | None:
        if self.budget is None:
            return None
        return self.value >= self.budget if self.more_is_better else self.value <= self.budget


def best_us(work: Callable[[int], object], *, count: int, rounds: int = 7) -> float:
    """Return microseconds for each of *count* repetitions inside `work(count)`, in the best of
    *rounds*.
    """
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            begun = time.perf_counter()
            work(count)
            best = min(best, time.perf_counter() - begun)
    finally:
        gc.enable()
    return best / count * 1e6


def machine() -> str:
    """Return a description of the machine and the versions."""
    names = ["hogline", "posthog", "sentry-sdk", "opentelemetry-sdk"]
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, {platform.python_implementation()} {platform.python_version()}; {packages}"


def print_figures(figures: list[Figure]) -> None:
    for figure in figures:
        verdict = {None: "", True: "  within budget", False: "  OVER BUDGET"}[figure.within_budget]
        sign = ">=" if figure.more_is_better else "<="
        budget = f"  (budget {sign} {figure.budget:g})" if figure.budget is not None else ""
        print(f"  {figure.name:<58}{figure.value:>10.2f} {figure.unit}{budget}{verdict}")
        for peer, value in figure.peers:
            ratio = figure.value / value if figure.more_is_better else value / figure.value
            print(f"      {peer:<54}{value:>10.2f} {figure.unit}  = {ratio:.1f} x ours")
        if figure.note:
            print(f"      {figure.note}")
    if RECORD in os.environ:
        with Path(os.environ[RECORD]).open("a") as record:
            record.writelines(json.dumps(dataclasses.asdict(figure)) + "\n" for figure in figures)
