import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from rvpo_verl.judge.cache import VerdictCache
from rvpo_verl.rubric import Criterion
from tests.support.judging import CRITERIA, judge_all, judge_of, judge_one
from tests.support.scripted_judge import scripted_judge

SCORING = """
import asyncio, json, sys
from rvpo_verl.rewards.rubric import rubric

judge, extra_info = json.loads(sys.argv[1]), {"rubric": [{"criterion": f"Mentions {n}"} for n in range(5)]}

async def batch():
    answers = [f"answer {number}" for number in range(40)]
    return await asyncio.gather(*(rubric(answer, [], extra_info, judge=judge) for answer in answers))

print(json.dumps([[score.value for score in one.values()] for one in asyncio.run(batch())]))
"""


def written(folder, count):
    """Waits until the folder holds as many verdicts; they are written a moment after they arrive."""
    cache = VerdictCache(folder)._cache
    for _ in range(200):
        if len(cache) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"{len(cache)} verdicts in the cache, not {count}")


@pytest.mark.parametrize("calls", ["criterion", "response"])
def test_nothing_is_asked_twice(server, tmp_path, calls):
    first = judge_one(judge_of(server, cache=tmp_path, calls=calls))
    asked = len(server.log())
    written(tmp_path, asked)
    again = judge_of(server, cache=tmp_path, calls=calls)
    assert judge_one(again) == first
    assert len(server.log()) == asked
    assert again.usage.cached == asked


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 0.5},
        {"max_tokens": 7},
        {"extra_body": {"top_k": 1}},
        {"output": "text"},
        {"calls": "response"},
    ],
    ids=str,
)
def test_another_way_of_asking_is_another_verdict(server, tmp_path, other):
    judge_one(judge_of(server, cache=tmp_path))
    written(tmp_path, 5)
    judge_one(judge_of(server, cache=tmp_path, **other))
    assert len(server.log()) > 5


def test_another_answer_criterion_or_model_is_another_verdict(server, tmp_path):
    judge = judge_of(server, cache=tmp_path)
    judge_one(judge)
    written(tmp_path, 5)
    judge_one(judge, "another answer")
    judge_one(
        judge, criteria=[Criterion(criterion="Mentions water"), Criterion(criterion="Mentions ice", levels=3)]
    )
    assert len(server.log()) == 5 + 5 + 2
    other = judge_of(server, cache=tmp_path)
    other.endpoints[0].model = "another"
    judge_one(other)
    assert len(server.log()) == 12 + 5


def test_a_weight_a_category_and_a_polarity_decide_no_verdict(server, tmp_path):
    judge_one(judge_of(server, cache=tmp_path))
    written(tmp_path, 5)
    same = [one.model_copy(update={"weight": 0.1, "category": "x", "polarity": -1}) for one in CRITERIA]
    judge_one(judge_of(server, cache=tmp_path), criteria=same)
    assert len(server.log()) == 5


def test_votes_are_cached_one_by_one(server, tmp_path):
    judge_one(judge_of(server, cache=tmp_path, votes=3, temperature=1.0))
    written(tmp_path, 15)
    judge_one(judge_of(server, cache=tmp_path, votes=4, temperature=1.0))
    assert len(server.log()) == 15 + 5


def test_a_model_whose_name_is_learned_late_is_judged_all_the_same(server, tmp_path):
    server.tell(key="not yet")
    judge = judge_of(server, cache=tmp_path)
    judge.endpoints[0].model = None
    find_models = judge._find_models

    async def then_it_answers():
        await find_models()
        server.tell(key=None)

    judge._find_models = then_it_answers
    assert all(judgement.failure is None for judgement in judge_one(judge))


def test_a_disk_that_fails_costs_the_cache_and_no_verdict(server, tmp_path, caplog):
    judge = judge_of(server, cache=tmp_path)
    judge._cache._cache.close()
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "cache.db").mkdir()
    assert all(judgement.failure is None for judgement in judge_one(judge))
    assert "cannot be read, so they are asked for" in caplog.text


def test_failures_are_not_cached(server, tmp_path):
    server.tell(reply="no verdict")
    judge_one(judge_of(server, cache=tmp_path, attempts=1))
    server.tell(reply=None)
    assert all(judgement.failure is None for judgement in judge_one(judge_of(server, cache=tmp_path)))


def test_verdicts_of_the_endpoint_that_stood_in_are_found_again(server, tmp_path):
    with scripted_judge(model="other") as stand_in:
        judge = judge_of("http://127.0.0.1:9/v1", stand_in, cache=tmp_path)
        judge.endpoints[1].model = "other"
        first = judge_all(judge, ["a", "b"])
        written(tmp_path, 10)
        judge = judge_of(server, stand_in, cache=tmp_path)
        judge.endpoints[1].model = "other"
        assert judge_all(judge, ["a", "b"]) == first
    assert not server.log()


def test_a_run_that_was_killed_repeats_no_judged_call(tmp_path):
    """A scoring process is killed while calls are under way; another one is given the same responses."""
    with scripted_judge(hang_after=77) as server:
        judge = {
            "endpoints": [{"base_url": server.base_url}],
            "cache": str(tmp_path),
            "limit": 16,
            "timeout": 60,
        }
        command = [sys.executable, "-c", SCORING, json.dumps(judge)]
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while server.counts()["received"] < 77 + 16:  # 77 answered, and as many as the limit allows not
            time.sleep(0.05)
        written(tmp_path, 77)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        judged = {call["digest"] for call in server.log() if call["fault"] is None}
        assert len(judged) == 77

        before = len(server.log())
        server.tell(hang_after=None)
        resumed = subprocess.run(command, capture_output=True, text=True, check=True)
        asked_again = Counter(call["digest"] for call in server.log()[before:])
        assert not judged & set(asked_again)
        assert asked_again.total() == 40 * 5 - 77
        assert max(asked_again.values()) == 1
        scores = json.loads(resumed.stdout)
        uncached = subprocess.run(
            [*command[:3], json.dumps(judge | {"cache": None})], capture_output=True, text=True, check=True
        )
    assert scores == json.loads(uncached.stdout)


def test_several_processes_write_at_once(server, tmp_path):
    judge = {"endpoints": [{"base_url": server.base_url, "model": "judge"}], "cache": str(tmp_path)}
    command = [sys.executable, "-c", SCORING, json.dumps(judge)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate(timeout=100)[0] for process in processes}
    assert len(outputs) == 1
    written(tmp_path, 200)


def test_reading_does_not_wait_in_the_event_loop(tmp_path):
    cache = VerdictCache(tmp_path)
    cache.put("a", {"1": 1.0})
    written(tmp_path, 1)
    assert asyncio.run(cache.get(["a", "b"])) == {"a": {"1": 1.0}}
