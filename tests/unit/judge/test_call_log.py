"""The log of calls holds what a person needs to judge the judge, is bounded, and never holds a key."""

import json

import pytest

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.call_log import CallLog
from rvpo_verl.judge.config import CallLogConfig
from rvpo_verl.report.calls import read_prompt
from tests.support.judging import CRITERIA, ask, completion, judge_all, judge_of, true
from tests.support.scripted_judge import scripted_judge


def read(folder):
    return [
        json.loads(line) for file in folder.glob("judge*.jsonl") for line in file.read_text().splitlines()
    ]


def test_a_call_is_logged_with_its_prompt_reply_verdict_and_cost(tmp_path):
    reply = completion('{"1": true}') | {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    ask(lambda body: (200, reply), log={"folder": str(tmp_path), "share": 1})
    (call,) = read(tmp_path)
    assert {
        "reply": '{"1": true}',
        "verdict": 1.0,
        "cause": None,
        "tokens_in": 7,
        "tokens_out": 3,
    }.items() <= (call.items())
    assert call["latency"] > 0
    answer, _, question = read_prompt(call["prompt"])
    assert answer == "an answer"
    assert "Mentions ice" in question


def test_a_call_without_a_verdict_is_logged_with_its_cause_and_what_the_judge_wrote(tmp_path):
    ask(lambda body: (200, completion("who knows")), log={"folder": str(tmp_path), "share": 1})
    (call,) = read(tmp_path)
    assert (call["reply"], call["verdict"]) == ("who knows", None)
    assert call["cause"].startswith("malformed: ")


def test_answers_are_logged_with_all_of_their_calls_or_none(tmp_path):
    with scripted_judge() as server:
        judge = judge_of(server, log={"folder": str(tmp_path), "share": 0.5})
        judge_all(judge, [f"answer {n}" for n in range(40)])
    answers = [read_prompt(call["prompt"])[0] for call in read(tmp_path)]
    assert all(answers.count(answer) == len(CRITERIA) for answer in answers)
    assert 5 < len(set(answers)) < 35


def test_nothing_is_logged_unless_a_folder_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(true)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_bounded_and_keeps_the_newest_calls(tmp_path):
    log = CallLog(CallLogConfig(folder=str(tmp_path), share=1, max_mb=0.02))
    for number in range(1000):
        log.write(number=number, prompt="x" * 100)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 20_000
    numbers = sorted(call["number"] for call in read(tmp_path))
    assert numbers == list(range(numbers[0], 1000))


def test_a_key_that_the_judge_repeats_is_not_logged(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "very-secret")
    with scripted_judge(reply='very-secret {"1": true}') as server:
        judge = judge_of(server, log={"folder": str(tmp_path), "share": 1})
        given = judge.config.model_dump(exclude_unset=True)
        given["endpoints"] = [{"base_url": server.base_url, "model": "judge", "api_key_env": "JUDGE_KEY"}]
        judge = type(judge)(type(judge.config).model_validate(given))
        judge_all(judge, ["an answer"], CRITERIA[:1])
    (call,) = read(tmp_path)
    assert call["verdict"] == 1.0
    assert "very-secret" not in json.dumps(call)


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"log\.folder"):
        CallLog(CallLogConfig(folder=str(tmp_path / "file" / "calls")))
