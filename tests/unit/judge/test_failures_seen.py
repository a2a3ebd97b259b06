"""Failures that were seen with real servers, and what becomes of each."""

import json
import time
from collections import Counter

import pytest

from tests.support.judging import ask, completion, judge_all, judge_of, true
from tests.support.scripted_judge import scripted_judge


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_what_one_endpoint_refuses_is_asked_of_the_next(status):
    (judgement,), seen, _ = ask(lambda body: (status, {"error": "no"}), true, output="schema")
    assert judgement.truth == 1.0
    assert [len(requests) for requests in seen] == [1, 1]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (completion('<think>guess {"1": true}', "length"), "truncated"),
        (completion('<think>guess {"1": true}'), "malformed"),
        (completion('{"1": tr', "length"), "truncated"),
        (completion(None, "content_filter"), "content_filter"),
        (completion(None, refusal="I cannot help with that"), "refusal"),
        ({"error": {"message": "no credit", "code": 402}}, "rejected"),
        (completion("no JSON"), "malformed"),
        (completion(None), "malformed"),
        ({"choices": []}, "malformed"),
    ],
)
def test_a_reply_that_is_no_finished_answer_gives_no_verdict_but_a_cause(reply, kind):
    (judgement,), seen, _ = ask(lambda body: (200, reply))
    assert judgement.truth is None
    assert judgement.failure.partition(":")[0] == kind
    assert len(seen[0]) == 1  # at temperature 0 the identical request brings nothing new


@pytest.mark.parametrize(
    ("reply", "truth"),
    [
        (completion('<think>{"1": false}</think>{"1": true}'), 1.0),
        (completion('{"1": true} no, </think> {"1": false}'), 0.0),
        (completion(None, reasoning_content='{"1": true}'), 1.0),
        (completion("", reasoning='{"1": true}'), 1.0),
        (completion([{"type": "text", "text": '{"1": '}, {"type": "text", "text": "true}"}]), 1.0),
    ],
)
def test_the_verdict_is_read_where_servers_put_it(reply, truth):
    assert ask(lambda body: (200, reply))[0][0].truth == truth


def test_an_error_inside_of_a_200_is_retried_like_its_code():
    replies = iter([(200, {"error": {"code": 429}}), (200, {"error": {"code": "503"}}), true(None)])
    (judgement,), seen, _ = ask(lambda body: next(replies))
    assert judgement.truth == 1.0
    assert len(seen[0]) == 3


def test_a_question_that_is_refused_switches_off_no_mode():
    """A content filter answers HTTP 400 to one answer."""

    def filtered(body):
        return (400, {"error": "filtered"}) if "poison" in body["messages"][1]["content"] else true(body)

    judgements, seen, judge = ask(
        filtered, answers=["poison", *(f"answer {n}" for n in range(5))], output="auto"
    )
    assert [one.truth for one in judgements] == [None, *[1.0] * 5]
    assert judge.forms[judge.endpoints[0]] == "schema"
    assert all(
        "json_schema" in json.dumps(body["response_format"]) for body in seen[0] if "response_format" in body
    )


@pytest.mark.parametrize("status", [400, 422, 500, 501])
def test_a_server_without_schemas_is_asked_in_the_best_form_it_takes(status):
    """As llama-cpp-python's server: HTTP 500 to a schema, a schema beside `json_object` works."""

    def objects(body):
        return true(body) if body.get("response_format", {}).get("type") == "json_object" else (status, {})

    def words(body):
        return (status, {}) if "response_format" in body else true(body)

    for reply, form in ((objects, "object"), (words, "text")):
        judgements, _, judge = ask(reply, answers=[f"answer {n}" for n in range(20)], output="auto")
        assert [one.truth for one in judgements] == [1.0] * 20
        assert judge.forms[judge.endpoints[0]] == form


@pytest.mark.parametrize("refusal", [400, 500])
def test_a_limit_of_the_rate_while_the_form_is_sought_loses_no_verdict(refusal):
    """As LiteLLM's proxy: what the model's server refuses counts as its failure, and it is not asked for a while."""
    cooldown = [False]

    def cooling(body):
        if cooldown[0]:
            cooldown[0] = False
            return 429, {"error": {"message": "No deployments available for selected model", "code": "429"}}
        if body.get("response_format", {}).get("type") == "json_schema":
            cooldown[0] = True
            return refusal, {"error": {"message": "litellm.InternalServerError: OpenAIException"}}
        return true(body)

    (judgement,), _, judge = ask(cooling, output="auto", deadline=30)
    assert judgement.failure is None
    assert judge.forms[judge.endpoints[0]] == "object"


@pytest.mark.parametrize("passing", [429, 500, 503])
def test_an_error_that_may_pass_is_not_taken_for_the_refusal_before_it(passing):
    failures = [passing] * 3  # the first ends the attempt before the questions, which nobody hears of

    def words(body):
        if "response_format" in body:
            return 400, {"error": {"message": "litellm.UnsupportedParamsError"}}
        return (failures.pop(), {}) if failures else true(body)

    (judgement,), _, judge = ask(words, output="auto", deadline=30)
    assert judgement.failure is None
    assert judge.forms[judge.endpoints[0]] == "text"


@pytest.mark.parametrize("retry_after", [None, "1"])
def test_a_limit_of_the_rate_loses_no_verdict(retry_after):
    with scripted_judge(per_second=20, retry_after=retry_after, latency=0.02) as server:
        batch = judge_all(judge_of(server), [f"answer {n}" for n in range(20)])
        counts = server.counts()
    assert [one.failure for judgements in batch for one in judgements] == [None] * 100
    assert 0 < counts["limited"] < 200, "each refused call is a request that the server has to answer"


def test_one_overloaded_replica_of_many_does_not_slow_down_the_others():
    counted = Counter()

    def one_of_ten(body):
        counted["all"] += 1
        return true(body) if counted["all"] % 10 else (429, {})

    started = time.monotonic()
    judgements, *_ = ask(one_of_ten, answers=[f"answer {n}" for n in range(200)], deadline=30)
    assert [one.truth for one in judgements] == [1.0] * 200
    assert time.monotonic() - started < 30
    assert counted["all"] == pytest.approx(200 / 0.9, abs=2)


def test_a_server_that_is_away_for_a_while_loses_no_verdict():
    started = time.monotonic()

    def away(body):
        return true(body) if time.monotonic() > started + 2 else (503, {})

    judgements, _, _ = ask(away, answers=[f"answer {n}" for n in range(10)], deadline=30)
    assert [one.truth for one in judgements] == [1.0] * 10


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>", "<｜end▁of▁sentence｜>", "[|endofturn|]", "]~b]", "]~!b[", "[e~[", "<end_of_turn>", "<seed:eos>",
        "<file_sep>", "<repo_name>", "</think>", "<think>", "</reasoning>", "<SPECIAL_10>", "[INST]", "</s>",
    ],
)  # fmt: skip
def test_no_control_token_of_an_answer_reaches_the_judge(token):
    _, seen, _ = ask(true, answers=[f"before {token} after"])
    assert token not in seen[0][0]["messages"][1]["content"]
