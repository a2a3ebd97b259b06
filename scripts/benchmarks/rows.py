"""A figure beside its peer's and its aim, and the tables made of them."""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    what: str
    ours: float
    unit: str
    peer: float | None = None
    """The same figure of `peer_name`, from the same run."""
    peer_name: str = ""
    at_least: float | None = None
    """Aim for peer / ours: so many times faster."""
    at_most: float | None = None
    """Aim for ours / peer: at most so many times the peer; for ours where there is no peer."""
    remark: str = ""
    """How it was measured, where that matters."""
    if_missed: str = ""
    """Why, should the aim be missed."""

    @property
    def ratio(self) -> float | None:
        if self.peer is None:
            return None
        return self.ours / self.peer if self.at_most is not None else self.peer / self.ours

    @property
    def aim(self) -> str:
        unit = f" {self.unit}" if self.peer is None else "×"
        if self.at_least is not None:
            return f"≥ {self.at_least:g}{unit}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}{unit}"

    @property
    def met(self) -> bool | None:
        value = self.ours if self.ratio is None else self.ratio
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most

    def cells(self) -> list[str]:
        peer = "" if self.peer is None else f"{_figure(self.peer)} {self.unit} ({self.peer_name})"
        ratio = "" if self.ratio is None else f"{_figure(self.ratio)}×"
        met = {True: "yes", False: "no", None: ""}[self.met]
        remarks = "; ".join(filter(None, [self.remark, self.if_missed if self.met is False else ""]))
        return [self.what, f"{_figure(self.ours)} {self.unit}", peer, ratio, self.aim, met, remarks]


HEADER = ["what", "ours", "peer", "ratio", "aim", "met", "remark"]


def show(title: str, rows: Sequence[Row], console: Console) -> None:
    table = Table(*HEADER, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row.cells())
    console.width = max(console.width, 160)
    console.print(table)


def markdown(results: dict[str, Sequence[Row]]) -> str:
    """The section of scripts/bench.md about this run."""
    lines = [
        f"## {time.strftime('%Y-%m-%d')}: {', '.join(f'{key} {value}' for key, value in machine().items())}"
    ]
    for title, rows in results.items():
        lines += ["", f"### {title}", "", _line(HEADER), _line(["---"] * len(HEADER))]
        lines += [_line(row.cells()) for row in rows]
    return "\n".join(lines) + "\n"


def write_json(results: dict[str, Sequence[Row]], path: Path) -> None:
    rows = {
        title: [vars(row) | {"ratio": row.ratio, "aim": row.aim, "met": row.met} for row in rows]
        for title, rows in results.items()
    }
    path.write_text(
        json.dumps({"date": time.strftime("%Y-%m-%d"), "machine": machine(), "rows": rows}, indent=2)
    )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    gpu = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "CPU": _cpu_name(),
        "cores": os.cpu_count(),
        "clock": "processor time" if _clock is time.thread_time else "wall",
        **gpu,
        "torch threads": torch.get_num_threads(),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "verl": importlib.metadata.version("verl"),
    }


_clock = time.perf_counter


def use_processor_time() -> None:
    """Measures the processor time of one thread from now on, which other programs on the machine hardly change."""
    global _clock
    _clock = time.thread_time
    torch.set_num_threads(1)


def median_ms(call: Callable[[], Any], repeats: int, device: str = "cpu", warm_up: int = 1) -> float:
    """Median time of a call in milliseconds; on a GPU between two events on its stream."""
    return medians_ms([call], repeats, device, warm_up)[0]


def medians_ms(
    calls: Sequence[Callable[[], Any]], repeats: int, device: str = "cpu", warm_up: int = 1
) -> list[float]:
    """The same for calls that are compared: they take turns, so that what else the machine does meets them all."""
    for call in [*calls] * warm_up:
        call()
    rounds = [[_elapsed_ms(call, device) for call in calls] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def _elapsed_ms(call: Callable[[], Any], device: str) -> float:
    if device == "cpu":
        started = _clock()
        call()
        return 1e3 * (_clock() - started)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    before.record()
    call()
    after.record()
    torch.cuda.synchronize()
    milliseconds: float = before.elapsed_time(after)
    return milliseconds


def _cpu_name() -> str:
    try:
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(value: float) -> str:
    """Three digits, never as a power of ten."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
