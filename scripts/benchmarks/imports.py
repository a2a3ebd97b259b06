"""`import verl` with the plugin and without, in fresh interpreters, by turns."""

import os
import re
import statistics
import subprocess
import sys

from benchmarks.rows import Row

TIMED = "import time; started = time.perf_counter(); import verl; print(time.perf_counter() - started)"


def measure(runs: int) -> list[Row]:
    """
    Args:
        runs: pairs of interpreters; some seconds each.
    """
    _seconds("auto"), _seconds("none")  # the files are in the page cache from here on
    pairs = [(_seconds("auto"), _seconds("none")) for _ in range(runs)]
    difference = statistics.median(with_plugin - without for with_plugin, without in pairs)
    with_plugin, without = map(statistics.median, zip(*pairs, strict=True))
    own = statistics.median(_own_milliseconds() for _ in range(3))
    return [
        Row(
            "import verl, difference of a pair",
            difference,
            "s",
            at_most=0.1,
            remark=f"median of {runs} pairs; with VERL_USE_EXTERNAL_PLUGINS=none verl does not look for plugins either",
        ),
        Row("import verl", with_plugin, "s", without, "without plugin"),
        Row("rvpo_verl alone, by -X importtime", own, "ms", at_most=100),
    ]


def _environment(plugins: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    return clean | {"VERL_USE_EXTERNAL_PLUGINS": plugins}


def _seconds(plugins: str) -> float:
    command = [sys.executable, "-c", TIMED]
    done = subprocess.run(command, env=_environment(plugins), capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _own_milliseconds() -> float:
    """Time in all modules of this package with what they import, less what verl imports anyway."""
    command = [sys.executable, "-X", "importtime", "-c", "import verl"]
    done = subprocess.run(command, env=_environment("auto"), capture_output=True, text=True, check=True)
    outermost = re.findall(r"\|\s+(\d+) \|   rvpo_verl", done.stderr)
    return sum(map(int, outermost)) / 1e3
