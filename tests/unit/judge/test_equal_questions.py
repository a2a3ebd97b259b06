"""Equal answers of a batch are asked about once; what failed is asked again."""

import asyncio

import pytest

from tests.support.judging import CRITERIA, ask, completion, judge_of, true
from tests.support.scripted_judge import scripted_judge


def test_sixteen_equal_answers_are_one_question_and_others_their_own():
    judgements, (seen,), _ = ask(true, answers=["same"] * 16 + ["other"])
    assert [one.truth for one in judgements] == [1.0] * 17
    assert len(seen) == 2


def test_a_failure_is_not_remembered():
    with scripted_judge(reply="no JSON") as server:
        judge = judge_of(server)
        assert asyncio.run(judge.judge([], "same", CRITERIA[:1]))[0].truth is None
        server.tell(reply='{"1": true}')
        assert asyncio.run(judge.judge([], "same", CRITERIA[:1]))[0].truth == 1.0


def test_the_answer_that_asks_may_be_cancelled_without_the_others():
    async def cancel_the_first(server):
        judge = judge_of(server)
        first, second = (asyncio.ensure_future(judge.judge([], "same", CRITERIA[:1])) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    with scripted_judge(reply='{"1": true}', latency=0.3) as server:
        assert asyncio.run(cancel_the_first(server))[0].truth == 1.0


def test_an_explanation_is_asked_for_before_the_verdict_and_kept():
    def explained(body):
        schema = body["response_format"]["json_schema"]["schema"]["properties"]["1"]
        assert list(schema["properties"]) == ["explanation", "verdict"]
        return 200, completion('{"1": {"explanation": "It does.", "verdict": true}}')

    (judgement,), _, _ = ask(explained, explanations=True)
    assert (judgement.truth, judgement.explanation) == (1.0, "It does.")
