import subprocess
import sys

import pytest

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

WITHOUT = """
import sys
for name in ("torch", "verl", "ray", "hydra", "transformers", "vllm"):
    sys.modules[name] = None  # as if it were not installed
import rvpo_verl.cli
import rvpo_verl.evaluation.preflight, rvpo_verl.evaluation.registry, rvpo_verl.evaluation.rlla
import rvpo_verl.evaluation.comparison, rvpo_verl.evaluation.table, rvpo_verl.evaluation.figure
import rvpo_verl.data.healthbench, rvpo_verl.data.sources
"""


def test_evaluation_needs_neither_torch_nor_verl():
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
