import pickle
import sys

import pytest

from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.registry import available, resolve


@pytest.fixture
def rewards_file(tmp_path):
    file = tmp_path / "my rewards.py"
    file.write_text(
        "import dataclasses\n"
        "loads = []\n"
        "@dataclasses.dataclass\n"
        "class Verdict:\n    score: float\n"
        "def short(response):\n    return Verdict(float(len(response) < 10)).score\n"
        "class Judge:\n    @staticmethod\n    def ask(response):\n        return 0.5\n"
        "limit = 10\n"
    )
    return file


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """Distributions and modules written by the test."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(distribution, name, target, **modules):
        metadata = tmp_path / f"{distribution}-1.5.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (metadata / "entry_points.txt").write_text(f"[rvpo_verl.rewards]\n{name} = {target}\n")
        for module, code in modules.items():
            (tmp_path / f"{module}.py").write_text(code)

    return write


def test_a_name_is_an_entry_point():
    found = resolve("tool_call_format")
    assert found.function.__module__ == "rvpo_verl.rewards.tool_calling"
    assert found.origin.startswith("rvpo-verl ")


def test_a_module_and_a_function_in_it():
    found = resolve("rvpo_verl.rewards.tool_calling:tool_call_format")
    assert found.function is resolve("tool_call_format").function


def test_a_function_in_a_file(rewards_file):
    found = resolve(f"{rewards_file}:short")
    assert found.function("brief") == 1.0
    assert found.origin == f"{rewards_file}:short"
    assert resolve(f"{rewards_file}:Judge.ask").function("") == 0.5


def test_a_file_is_loaded_once_by_whatever_path(rewards_file, monkeypatch):
    monkeypatch.chdir(rewards_file.parent)
    absolute, relative = resolve(f"{rewards_file}:short"), resolve("./my rewards.py:short")
    assert absolute.function is relative.function
    verdict = absolute.function.__globals__["Verdict"](1.0)
    assert pickle.loads(pickle.dumps(verdict)) == verdict


def test_files_of_the_same_name_are_different_modules(tmp_path):
    for folder, score in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rewards.py").write_text(f"def f(response): return {score}\n")
    assert [resolve(f"{tmp_path}/{folder}/rewards.py:f").function("") for folder in ("one", "two")] == [1, 2]


def test_listing_loads_nothing(importable):
    importable("lazy-rewards", "lazy", "lazy_rewards:lazy", lazy_rewards="raise RuntimeError('imported')")
    assert ("lazy", "lazy-rewards 1.5", "lazy_rewards:lazy") in [
        (reward.name, reward.distribution, reward.target) for reward in available()
    ]
    assert "lazy_rewards" not in sys.modules


def test_an_unknown_name_says_what_was_tried_the_contract_and_what_there_is():
    with pytest.raises(ConfigError) as error:
        resolve("tool_cal_format")
    for part in (
        "'tool_cal_format'",
        "entry points of group 'rvpo_verl.rewards'",
        "did you mean 'tool_call_format'?",
        "returns a float, None",
        "package.module:function",
        "tool_call_correctness",
    ):
        assert part in str(error.value)


def test_a_name_of_two_distributions_is_an_error_naming_both(importable):
    importable("first-rewards", "helpful", "first:helpful", first="def helpful(response): return 1")
    importable("second-rewards", "helpful", "second:helpful", second="def helpful(response): return 2")
    with pytest.raises(ConfigError, match=r"first-rewards 1\.5 .* and second-rewards 1\.5"):
        resolve("helpful")
    assert resolve("second:helpful").function("") == 2


def test_an_import_that_fails_keeps_its_cause(importable, tmp_path):
    importable("cracked", "cracked", "cracked_rewards:f", cracked_rewards="import no_such_library")
    (tmp_path / "cracked.py").write_text("raise KeyError('API_KEY')")
    for name in ("cracked", "cracked_rewards:f"):
        with pytest.raises(ConfigError, match="no_such_library") as error:
            resolve(name)
        assert isinstance(error.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ConfigError, match="API_KEY") as error:
        resolve(f"{tmp_path}/cracked.py:f")
    assert isinstance(error.value.__cause__, KeyError)
    (tmp_path / "cracked.py").write_text("def f(response): return 1")
    assert resolve(f"{tmp_path}/cracked.py:f").function("") == 1, "a failed load is not remembered"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{file}:shrot", "has no 'shrot' (did you mean 'short'?)"),
        ("{file}:limit", "is 10 "),
        ("{file}x.py:short", "there is no file"),
        ("no_such_package.rewards:f", "No module named 'no_such_package'"),
        ("json:no_such_function", "json has no 'no_such_function'"),
    ],
)
def test_what_is_not_there_or_no_function_is_refused(rewards_file, name, message):
    with pytest.raises(ConfigError) as error:
        resolve(name.format(file=rewards_file))
    assert message in str(error.value)
