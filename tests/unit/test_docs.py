"""The documentation site builds without a warning and has every public name."""

import html
import importlib
import re
import subprocess
import sys

import pytest

from rvpo_verl.metrics import METRICS
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
PUBLIC = re.findall(r"automodule:: (\S+)", (DOCS / "reference" / "api.md").read_text())
"""The modules that users may import from."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-b", "html", DOCS, out]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_on_the_page_of_the_interface(site, module):
    page = (site / "reference" / "api.html").read_text()
    for name in importlib.import_module(module).__all__:
        assert f'id="{module}.{name}"' in page


def test_every_metric_is_on_the_page_of_the_metrics(site):
    page = re.sub("<[^>]+>", "", (site / "reference" / "metrics.html").read_text())
    assert all(
        name in page and html.escape(meaning, quote=False)[:20] in page for name, meaning in METRICS.items()
    )


def test_every_command_is_on_the_page_of_the_command_line(site):
    page = re.sub("<[^>]+>", "", (site / "reference" / "cli.html").read_text())
    for command in ("doctor", "plan", "rewards score", "data", "judge check", "compare"):
        assert f"rvpo-verl {command}" in page
