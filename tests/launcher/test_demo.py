"""`rvpo-verl demo --data`, from the command to the report: on RLLA's own rows where they are at hand."""

import json
import subprocess
import sys

import pytest

from rvpo_verl.cpu import tasks
from rvpo_verl.files import write_parquet
from tests.support.paths import SHARED_DATA

RLLA = SHARED_DATA / "rlla/test.parquet"
COMMAND = [sys.executable, "-c", "from rvpo_verl.cli import app; app()", "demo"]


@pytest.mark.launcher
@pytest.mark.timeout(700)
def test_the_demo_trains_on_a_file_and_reports_what_moved(tmp_path):
    data, out, figures = RLLA, tmp_path / "out", tmp_path / "figures.json"
    if not data.exists():
        data = tmp_path / "rows.parquet"
        write_parquet(tasks.generate(80, 0, "train"), data)
    done = subprocess.run(
        [*COMMAND, "--data", data, "--steps", "2", "--out", out, "--json", figures],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(figures.read_text())
    assert written["steps"] == 2
    assert written["seconds"] > 0
    for name in ("tool_call_format", "tool_call_correctness"):
        assert set(written["rewards"][name]) == {"before", "after"}
        verdicts = (f"{name} rose by", f"{name} fell by", f"{name} did not move measurably")
        assert any(verdict in done.stdout for verdict in verdicts), done.stdout
    assert "report.html: " in done.stdout.splitlines()[-1]
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert (out / "checkpoints/global_step_2/actor/huggingface/model.safetensors").exists()
