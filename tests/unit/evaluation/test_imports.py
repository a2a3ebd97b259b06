import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

WITHOUT = """
import absent
absent.hide("torch", "verl", "ray", "hydra", "transformers", "vllm")
import rvpo_verl.cli
import rvpo_verl.evaluation.preflight, rvpo_verl.evaluation.registry, rvpo_verl.evaluation.rlla
import rvpo_verl.evaluation.comparison, rvpo_verl.evaluation.table, rvpo_verl.evaluation.figure
import rvpo_verl.data.healthbench, rvpo_verl.files
"""


def test_evaluation_needs_neither_torch_nor_verl():
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", WITHOUT]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
