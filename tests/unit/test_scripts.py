"""The command that runs the tests."""

import re
import subprocess

from tests.support.paths import ROOT


def stages(*files):
    """The stages that these files ask of scripts/test.sh."""
    asked = " ".join(
        " ".join(re.findall(r"scripts/test\.sh ([a-z ]+)", (ROOT / file).read_text())) for file in files
    )
    return set(asked.split())


def test_an_unknown_stage_is_refused_with_those_that_there_are():
    done = subprocess.run([ROOT / "scripts/test.sh", "fast"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "'fast'" in done.stderr and "quick" in done.stderr


def test_ci_runs_every_stage():
    documented = re.findall(r"^#   (\w+)  ", (ROOT / "scripts/test.sh").read_text(), re.M)
    assert set(documented) == stages(".ci/run") >= {"quick", "wheel"}
