"""How time and memory of verl's whole call grow with the batch, one size at a time: fitted exponents."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from statistics import linear_regression
from typing import Any

from benchmarks.advantage import Batch, Workload, fresh_memory, peak_bytes
from benchmarks.rows import Row, median_ms


@dataclass(frozen=True)
class Series:
    what: str
    sizes: Sequence[int]
    workload: Callable[[int], Workload]
    call: Callable[[Batch], Callable[[], Any]]


SERIES = [
    Series("rows, as columns (·, 17, 16, 64)", [2**n for n in range(10, 21, 2)],
           lambda B: Workload(B, 17, 16, 64), Batch.with_columns),
    Series("rows, as vectors (·, 17, 16, 64)", [2**n for n in range(10, 21, 2)],
           lambda B: Workload(B, 17, 16, 64), Batch.with_vectors),
    Series("rewards, as columns (16384, ·, 16, 64)", [2, 4, 8, 16, 32, 64],
           lambda M: Workload(16384, M, 16, 64), Batch.with_columns),
    Series("tokens, as columns (1024, 17, 16, ·)", [512, 1024, 2048, 4096, 8192, 16384, 32768],
           lambda T: Workload(1024, 17, 16, T), Batch.with_columns),
    Series("criteria of each group's own rubric, as vectors (4096, 5..·, 16, 64)", [5, 10, 20, 50, 100],
           lambda M: Workload(4096, M, 16, 64, ragged=True), Batch.with_vectors),
]  # fmt: skip

CACHES = (
    "the garbage collector goes over the decoded vectors while they are made, and they outgrow the caches"
)


def measure() -> list[Row]:
    fresh_memory()
    return [row for series in SERIES for row in _measure(series)]


def _measure(series: Series) -> list[Row]:
    times, memory = [], []
    for size in series.sizes:
        batch = Batch(series.workload(size))
        call = series.call(batch)
        times.append(median_ms(call, 3 if size < 2**19 else 1))
        memory.append(peak_bytes(call) / 2**20)
        del batch, call
        gc.collect()
    exponent, last = _exponent(series.sizes, times), _exponent(series.sizes[-2:], times[-2:])
    shown = "; ".join(f"{size:,}: {_short(ms)} ms" for size, ms in zip(series.sizes, times, strict=True))
    return [
        Row(
            f"time over {series.what}", exponent, "exponent", at_most=1.1, if_missed=CACHES,
            remark=f"{last:.2f} between the last two; {shown}",
        ),
        Row(
            "… memory", _exponent(series.sizes, memory), "exponent", at_most=1.1,
            remark=f"{_short(memory[-1])} MiB at the largest, its result included",
        ),
    ]  # fmt: skip


def _exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Slope of log value over log size by least squares: 1 is linear, less is a fixed cost, 2 quadratic."""
    return linear_regression([log(size) for size in sizes], [log(max(value, 1e-3)) for value in values]).slope


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
