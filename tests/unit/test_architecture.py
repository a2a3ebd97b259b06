"""Which package imports which, by the syntax tree: imports run one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rvpo_verl

ROOT = Path(rvpo_verl.__file__).parent

MAY_IMPORT = {
    "errors": set(),
    "names": set(),
    "metrics": set(),
    "files": {"errors"},
    "schema": {"errors"},
    "rubric": {"errors", "schema"},
    "config": {"errors", "schema"},
    "core": {"errors", "names"},
    "judge": {"errors", "schema", "rubric", "files"},
    "rewards": {"errors", "schema", "names", "config", "rubric", "files", "judge"},
    "report": {"errors", "files", "names", "core", "judge", "rewards"},
    "data": {"errors", "schema", "rubric", "files", "rewards"},
    "attach": {"errors", "schema", "names", "files", "config", "core", "rewards"},
    "plan": {"errors", "files", "config", "core", "rewards", "attach"},
    "evaluation": {"errors", "schema", "files", "rewards", "data"},
    "cpu": {"errors", "files", "names", "core", "data", "rewards", "report", "attach"},
    "cli": {
        "errors", "schema", "files", "rubric", "config", "core", "judge", "rewards", "report", "data", "attach",
        "plan", "evaluation", "cpu",
    },
    "conf": set(),
    "__init__": {"attach"},
    "__main__": {"cli"},
}  # fmt: skip
"""What each module or package may import of the others; each may import itself."""


def imports(file):
    """Full names of the modules that a file imports, anywhere in it; `from a import b` may be either."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(file):
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file):
    own = part(file)
    for name in imports(file):
        if name.startswith("rvpo_verl."):
            imported = name.split(".")[1]
            exists = (ROOT / imported).is_dir() or (ROOT / f"{imported}.py").is_file()
            assert not exists or imported == own or imported in MAY_IMPORT[own], f"{own} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_attach_and_cpu_import_verl(file):
    if part(file) not in ("attach", "cpu"):
        assert not [name for name in imports(file) if name.split(".")[0] == "verl"]


def test_the_rules_name_everything_there_is():
    assert {part(file) for file in FILES} <= set(MAY_IMPORT)


def test_importing_the_package_imports_neither_verl_nor_torch():
    code = "import sys, rvpo_verl; print([name for name in ('verl', 'torch', 'ray') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_core_needs_only_torch_and_numpy():
    """Everything else that is not of Python itself is hidden, as in an environment with torch alone."""
    code = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in ("verl", "ray", "wrapt", "pydantic", "omegaconf", "hydra", "packaging", "tensordict"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "verl" else find(name, *rest)
import torch
from rvpo_verl.core import RewardBatch, Settings, compute
rewards_BM = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
batch = RewardBatch(rewards_BM, torch.zeros(4).long(), torch.ones(4))
result = compute(batch, Settings(k=2.0), step=1, total_steps=10)
assert result.advantages_B[2] == result.advantages_B.max() > 0 and "rvpo/0/mean" in result.metrics
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_the_unit_tests_mirror_the_package():
    folders = {each.name for each in Path(__file__).parent.iterdir() if list(each.glob("test_*.py"))}
    assert folders - {"experiment"} <= {each.name for each in ROOT.iterdir() if each.is_dir()}
