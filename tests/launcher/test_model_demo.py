"""`rvpo-verl demo --model FOLDER` with own rows and own rewards, from the command to the report."""

import json
import subprocess
import sys

import pytest

from rvpo_verl.cpu import tasks
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.files import write_parquet
from tests.support.random_policy import save_random_policy

SETTINGS = WarmUp(hidden_size=64, intermediate_size=128, heads=2, key_value_heads=2)
"""vLLM supports heads of 32 units and more."""


@pytest.mark.launcher
@pytest.mark.timeout(700)
def test_own_rewards_are_trained_on_own_rows_with_any_model(tmp_path):
    rows = tasks.generate(24, 0, "train")
    write_parquet(rows, tmp_path / "rows.parquet")
    save_random_policy(tmp_path / "model", rows, SETTINGS)
    (tmp_path / "mine.py").write_text(
        "def vowels(response):\n    return sum(c in 'aeiou' for c in response) / 100\n"
    )
    (tmp_path / "rewards.yaml").write_text(
        "vowels: {function: mine.py:vowels}\nno_comma: {function: regex, kwargs: {pattern: ',', must_match: false}}\n"
    )
    figures = tmp_path / "figures.json"
    command = [
        *(sys.executable, "-m", "rvpo_verl", "demo", "--model", "model", "--data", "rows.parquet"),
        *("--rewards", "rewards.yaml", "--steps", "2", "--out", "out", "--json", figures),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=650)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(figures.read_text())
    assert written["steps"] == 2
    assert set(written["rewards"]) == {"vowels", "no_comma", "all of them"}
    assert "2 steps, 6 held-out prompts, 24 sampled answers" in done.stdout
    assert (tmp_path / "out/checkpoints/global_step_2/actor/huggingface/model.safetensors").exists()
