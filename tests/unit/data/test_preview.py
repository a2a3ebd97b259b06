import json

import pytest
from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.cpu import tasks
from rvpo_verl.cpu.policy import WarmUp
from rvpo_verl.data.preview import EMPTY, GOOD, kind_of, previews
from rvpo_verl.files import write_parquet
from tests.support.nltk_data import needs_nltk_data
from tests.support.random_policy import save_random_policy

RUBRIC = {
    "data_source": "mine",
    "prompt": [{"role": "user", "content": "How much?"}],
    "ability": "rubric",
    "reward_model": {"style": "rubric", "ground_truth": "5 mg"},
    "extra_info": {
        "rubric": [
            {"criterion": "States 5 mg.", "weight": 3.0, "category": "dose"},
            {"criterion": "Recommends aspirin.", "weight": 1.0, "polarity": -1, "category": "safety"},
        ]
    },
}
(TOOLS,) = tasks.generate(1, 0, "train")
INSTRUCTIONS = {
    "data_source": "if",
    "prompt": [{"role": "user", "content": "Write without commas."}],
    "ability": "if",
    "reward_model": {"style": "rule", "ground_truth": ""},
    "extra_info": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
}


def test_a_good_answer_has_every_reward_and_an_empty_one_those_for_what_it_does_not_do():
    answers = previews(RUBRIC, kind_of(RUBRIC))["answers"]
    assert answers == {
        GOOD: {"dose/1": 1.0, "safety/2": 1.0, "mean by weight": 1.0},
        EMPTY: {"dose/1": 0.0, "safety/2": 1.0, "mean by weight": 0.25},
    }


def test_a_tool_calling_row_is_scored_by_its_rewards():
    assert previews(TOOLS, kind_of(TOOLS))["answers"] == {
        GOOD: {"tool_call_format": 1.0, "tool_call_correctness": 3.0},
        EMPTY: {"tool_call_format": 0.0, "tool_call_correctness": -3.0},
    }


@needs_nltk_data
def test_a_row_of_instructions_is_scored_by_its_checkers():
    assert kind_of(INSTRUCTIONS) == "instructions"
    (values,) = {tuple(of.values()) for of in previews(INSTRUCTIONS, "instructions")["answers"].values()} - {
        (1.0,)
    }
    assert values == (0.0,)


def test_the_prompt_is_shown_by_the_models_template(tmp_path):
    save_random_policy(tmp_path, [TOOLS], WarmUp(hidden_size=32, intermediate_size=32))
    shown = previews(TOOLS, "rlla", str(tmp_path))
    assert shown["prompt"].startswith("<|im_start|>system\n")
    assert shown["prompt"].endswith("<|im_start|>assistant\n")
    assert shown["tokens"] > 10
    with pytest.raises(ValueError, match=r"--model .*missing: its tokenizer"):
        previews(TOOLS, "rlla", str(tmp_path / "missing"))


@pytest.mark.parametrize("row", [RUBRIC, TOOLS])
def test_the_command_shows_the_row_whole_and_its_scores(tmp_path, row):
    row = json.loads(json.dumps(row))
    row["prompt"][-1]["content"] += " " + "very " * 500 + "END"
    write_parquet([row], tmp_path / "rows.parquet")
    arguments = ["data", "preview", str(tmp_path / "rows.parquet"), "--json", str(tmp_path / "report.json")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.stderr
    assert "END" in result.stdout
    assert "an empty answer" in result.stdout
    assert (
        json.loads((tmp_path / "report.json").read_text())["preview"]["answers"]
        == previews(row, kind_of(row))["answers"]
    )
