"""The judge against a real vLLM server with random weights: every verdict arrives, or is missing with its cause."""

import asyncio
import json

import pytest

from rvpo_verl.data.findings import Findings
from rvpo_verl.data.healthbench import HealthBenchReader
from rvpo_verl.data.options import Options
from rvpo_verl.judge.check import Run, check
from rvpo_verl.judge.config import JudgeConfig
from rvpo_verl.rubric import Criterion, read_rubric
from tests.support.judging import CRITERIA, judge_all, judge_of
from tests.support.paths import SHARED_DATA

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

DATA = SHARED_DATA / "healthbench/sample.jsonl"


def judge_at(server, **settings):
    return judge_of(server, timeout=300, deadline=800, limit=64, **settings)


@pytest.mark.parametrize("calls", ["criterion", "response"])
@pytest.mark.parametrize("levels", [1, 4])
def test_every_criterion_gets_a_verdict(judge_server, calls, levels):
    criteria = [Criterion(criterion=f"Mentions thing {n}", levels=levels) for n in range(17)]
    judgements = judge_all(judge_at(judge_server, calls=calls), ["an answer", "another"], criteria)
    grades = {grade / levels for grade in range(levels + 1)}
    for judgement in (judgement for answer in judgements for judgement in answer):
        assert judgement.failure is None
        assert judgement.truth in grades


def test_the_verdict_on_an_answer_that_is_too_long_is_missing_with_the_servers_reason(judge_server):
    judge = judge_at(judge_server, max_answer_chars=1_000_000)
    short, long = judge_all(judge, ["short", "word " * judge_server.max_model_len], CRITERIA[:2])
    assert all(judgement.truth is not None for judgement in short)
    for judgement in long:
        assert judgement.truth is None
        assert "400" in judgement.failure


def test_check_finds_it_usable_with_a_schema(judge_server):
    config = JudgeConfig.model_validate(
        {"endpoints": [{"base_url": judge_server.base_url, "model": judge_server.model}], "timeout": 300}
    )
    (checked,) = asyncio.run(check(config, Run(criteria=5, answer_chars=400), responses=4))
    assert checked.usable
    assert checked.form == "schema"
    assert not checked.failures


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} does not exist")
def test_every_criterion_of_healthbench_is_judged_or_missing_with_a_cause(judge_server):
    reader = HealthBenchReader("healthbench", Options(), Findings())
    lines = DATA.read_text().splitlines()
    rows = [reader.read(json.loads(line), "sample", "test", n) for n, line in enumerate(lines)]
    judge = judge_at(judge_server, calls="response")

    async def judge_rows():
        return await asyncio.gather(
            *(
                judge.judge(row["prompt"], "Please see a doctor.", read_rubric(row["extra_info"]))
                for row in rows
            )
        )

    judged = asyncio.run(judge_rows())
    asked = sum(len(row["extra_info"]["rubric"]) for row in rows)
    judgements = [judgement for row in judged for judgement in row]
    assert len(judgements) == asked > 4000
    assert all((judgement.truth is None) == (judgement.failure is not None) for judgement in judgements)
    assert all(judgement.truth in (0.0, 1.0, None) for judgement in judgements)
    missing = [judgement.failure for judgement in judgements if judgement.truth is None]
    print(
        f"{asked} criteria of {len(rows)} conversations, {len(missing)} missing: {sorted(set(missing))[:5]}"
    )
    assert len(missing) < asked / 20, sorted(set(missing))[:5]
