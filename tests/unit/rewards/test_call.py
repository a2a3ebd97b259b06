import asyncio
import logging
import os
import random
import subprocess
import sys
import threading
import time
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from rvpo_verl.config import RewardsConfig
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.score import Score
from rvpo_verl.rewards.vector import RewardVector
from rvpo_verl.schema import parse
from tests.support.paths import ROOT
from tests.support.process_rewards import by_alarm

SAMPLE = Sample("the response", ground_truth="the truth", data_source="math", extra_info={"limit": 3})


def scorer(**rewards):
    """Rewards by name: a function, or the options of one with it under `call`."""
    specs = {}
    for name, given in rewards.items():
        spec = {"call": given} if callable(given) else dict(given)
        setattr(FUNCTIONS, name, staticmethod(spec.pop("call")))
        specs[name] = {"function": f"{__name__}:FUNCTIONS.{name}", **spec}
    return Scorer(parse(RewardsConfig, {"rewards": specs}, "reward.rvpo"))


class FUNCTIONS:
    """Where the functions of a test are found by name."""


def score(sample=SAMPLE, **rewards):
    return asyncio.run(scorer(**rewards).score(sample))


# --- arguments ------------------------------------------------------------------------------------------


def test_a_function_gets_the_arguments_that_it_names():
    seen = {}

    def everything(response, messages, ground_truth, data_source, extra_info, response_ids, tokenizer):
        seen.update(locals())
        return 1

    def some(extra_info, /, response, *rest, bonus, scale=2, **others):
        return extra_info["limit"] + bonus + scale + others["more"]

    sample = Sample(
        "the response",
        ground_truth="the truth",
        messages=[{"role": "user", "content": "the prompt"}],
        data_source="math",
        extra_info={"limit": 3},
        response_ids=[4, 5],
        tokenizer="the tokenizer",
    )
    vector = score(sample, everything=everything, some={"call": some, "kwargs": {"bonus": 10, "more": 100}})
    assert vector.scores == {"everything": 1.0, "some": 115.0}
    del seen["seen"]
    assert seen == {name: getattr(sample, name) for name in seen}
    assert len(seen) == 7


def test_arguments_from_kwargs_go_before_those_of_the_sample_and_defaults():
    def named(a, ground_truth, b=2, /, c=3):
        return float(f"{a}{ground_truth}{b}{c}")

    assert score(named={"call": named, "kwargs": {"a": 1, "ground_truth": 7, "c": 9}}).scores == {
        "named": 1729.0
    }


@pytest.mark.parametrize(
    ("call", "kwargs", "message"),
    [
        (lambda reponse: 1, {}, "its argument 'reponse' is neither on offer .*did you mean 'response'"),
        (lambda solution_str: 1, {}, "'solution_str' .*did you mean 'response'"),
        (
            lambda response, model: 1,
            {},
            "'model' is neither on offer nor in reward.rvpo.rewards.r.kwargs; on offer",
        ),
        (lambda response, model: 1, {"modell": "x", "model": "x"}, "modell='x': it takes no .* mean 'model'"),
        (lambda: 1, {"response_ids": 1}, "it takes no such argument; what it takes from kwargs: nothing"),
    ],
)
def test_an_argument_that_is_not_to_be_had_is_refused_before_any_call(call, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        scorer(r={"call": call, "kwargs": kwargs})


def test_every_reward_that_cannot_be_called_is_named():
    with pytest.raises(ConfigError) as error:
        Scorer(parse(RewardsConfig, {"rewards": {"absent": None, "unknown": None}}, "reward.rvpo"))
    assert "'absent'" in str(error.value)
    assert "'unknown'" in str(error.value)


def test_what_no_sample_will_have_is_not_on_offer():
    config = parse(
        RewardsConfig, {"rewards": {"tool_call_format": {"function": "json:dumps"}}}, "reward.rvpo"
    )
    with pytest.raises(ConfigError, match="'obj' is neither"):
        Scorer(config)
    config = parse(RewardsConfig, {"rewards": {"length": {"kwargs": {"max_length": 9, "buffer": 1}}}}, "x")
    Scorer(config)
    with pytest.raises(ConfigError, match="'response_ids' is not available here"):
        Scorer(config, without={"response_ids"})


# --- results --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (2, 2.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.bool_(True), 1.0),
        (np.array(0.5), 0.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor(True), 1.0),
        (None, None),
    ],
)
def test_numbers_of_any_library_are_scores(value, expected):
    vector = score(r=lambda response: value)
    assert vector.scores == {"r": expected}
    assert type(vector.scores["r"]) in (float, type(None))
    assert not vector.failures


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (float("nan"), "ValueError: returned nan, which is not finite"),
        (float("inf"), "ValueError"),
        (torch.tensor(float("nan")), "ValueError"),
        (10**400, "OverflowError"),
        ("0.5", "TypeError: returned a str; accepted: a number, None, or a dict"),
        ([0.5], "TypeError: returned a list"),
        (torch.zeros(1), "TypeError: returned a Tensor of shape (1,)"),
        (1j, "TypeError"),
        ({1: 0.5}, "TypeError: returned a dict with the keys [1]; accepted: strings"),
        ({"a": {"b": 1}}, "TypeError: a: returned a dict"),
    ],
)
def test_what_is_no_finite_number_is_missing_and_says_why(value, cause):
    vector = score(r=lambda response: value, good=lambda response: 1)
    assert vector.scores["good"] == 1.0
    assert all(found is None for name, found in vector.scores.items() if name != "good")
    assert vector.failures["r"].startswith(cause)
    assert list(vector.failures) == ["r"]


def test_a_reward_is_left_out_of_rows_of_other_data_sources():
    rewards = {
        "maths": {"call": lambda response: 1, "data_sources": ["math"]},
        "code": {"call": lambda response: 1 / 0, "data_sources": ["code", "swe"]},
        "all": lambda response: 2,
    }
    vector = score(**rewards)
    assert vector.scores == {"maths": 1.0, "code": None, "all": 2.0}
    assert not vector.failures
    assert score(Sample("", data_source=None), **rewards).scores == {"maths": None, "code": None, "all": 2.0}


def test_declared_outputs_keep_their_names_and_weights():
    outputs = {"helpful": 1.0, "harmless": 2.5}
    vector = score(
        judge={"call": lambda response: {"harmless": 0.5, "helpful": None}, "outputs": outputs},
        other={"call": lambda response: 1, "weight": 3.0},
    )
    assert list(vector.scores.items()) == [("helpful", None), ("harmless", 0.5), ("other", 1.0)]
    assert vector.weights == {**outputs, "other": 3.0}
    assert not vector.failures


def test_outputs_that_are_not_declared_go_by_the_reward_and_their_key():
    vector = score(rubric={"call": lambda response: {"states a dose": 1, "x/y": None}, "weight": 0.5})
    assert vector.scores == {"rubric/states a dose": 1.0, "rubric/x/y": None}
    assert vector.weights == {"rubric/states a dose": 0.5, "rubric/x/y": 0.5}


def test_no_output_is_a_reward_that_does_not_apply():
    vector = score(rubric=lambda response: {})
    assert vector.scores == {"rubric": None}
    assert not vector.failures


def test_one_bad_output_is_missing_and_the_others_stand():
    vector = score(rubric=lambda response: {"a": float("nan"), "b": 1})
    assert vector.scores == {"rubric/a": None, "rubric/b": 1.0}
    assert vector.failures == {"rubric": "ValueError: a: returned nan, which is not finite"}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ({"a": 1}, "ValueError: returned no 'b'; return None where it does not apply"),
        (
            {"a": 1, "b": 2, "c": 3},
            "TypeError: returned a dict with the keys ['c']; accepted: its outputs ['a', 'b']",
        ),
        (1.0, "TypeError: returned a float, not a dict of its outputs ['a', 'b']"),
    ],
)
def test_outputs_other_than_declared_are_a_failure(value, cause):
    vector = score(judge={"call": lambda response: value, "outputs": {"a": 1, "b": 1}})
    assert list(vector.scores) == ["a", "b"]
    assert vector.scores["b"] is None
    assert vector.failures == {"judge": cause}


def test_a_failure_takes_all_declared_outputs():
    vector = score(judge={"call": lambda response: 1 / 0, "outputs": {"a": 1, "b": 1}})
    assert vector.scores == {"a": None, "b": None}
    assert vector.failures == {"judge": "ZeroDivisionError: division by zero"}


# --- failures -------------------------------------------------------------------------------------------


def test_no_exception_gets_out_of_a_reward():
    async def in_loop(response):
        raise LookupError("first line\nsecond line")

    def stops(response):
        raise StopIteration

    def no_message(response):
        raise RuntimeError

    vector = score(in_loop=in_loop, stops=stops, no_message=no_message, good=lambda response: 1)
    assert vector.scores == {"in_loop": None, "stops": None, "no_message": None, "good": 1.0}
    assert vector.failures["in_loop"] == "LookupError: first line"
    assert set(vector.failures) == {"in_loop", "stops", "no_message"}


def test_each_cause_is_logged_once_with_its_traceback(caplog):
    causes = iter([KeyError("a"), KeyError("b"), ValueError("c"), KeyError("d")])

    def unlucky(response):
        raise next(causes)

    unlucky_scorer = scorer(unlucky=unlucky)
    with caplog.at_level(logging.ERROR, logger="rvpo_verl.rewards"):
        for _ in range(4):
            asyncio.run(unlucky_scorer.score(SAMPLE))
    assert [record.exc_info[0] for record in caplog.records] == [KeyError, ValueError]
    assert "raise next(causes)" in caplog.text
    assert unlucky_scorer.failed == {("unlucky", "KeyError"): 3, ("unlucky", "ValueError"): 1}


class NotAnException(BaseException):
    """What extensions written in Rust raise when they panic."""


class Unprintable(Exception):
    def __str__(self):
        raise SystemExit("no message")


@pytest.mark.parametrize(
    "raised", [SystemExit, KeyboardInterrupt, NotAnException, asyncio.CancelledError, Unprintable]
)
@pytest.mark.parametrize("in_loop", [False, True], ids=["sync", "async"])
def test_whatever_a_reward_raises_is_its_failure(raised, in_loop, caplog):
    if in_loop and raised is KeyboardInterrupt:
        pytest.skip("in the main thread it may be a real interrupt")

    def sync(response):
        raise raised

    async def in_the_loop(response):
        raise raised

    asked = scorer(bad=in_the_loop if in_loop else sync, good=lambda response: 1)
    for _ in range(2):
        vector = asyncio.run(asked.score(SAMPLE))
        assert vector.scores == {"bad": None, "good": 1.0}
        assert vector.failures["bad"].startswith(f"{raised.__name__}: ")
    assert asked.failed == {("bad", raised.__name__): 2}
    assert caplog.text.count("reward 'bad'") == 1


@pytest.mark.parametrize("raised", [SystemExit, NotAnException, asyncio.CancelledError])
def test_whatever_a_returned_object_raises_is_a_failure(raised):
    class Hostile(dict):
        def items(self):
            raise raised

    assert score(hostile=lambda response: Hostile(a=1)).failures["hostile"].startswith(raised.__name__)


def test_a_real_interrupt_gets_out():
    async def interrupted(response):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(interrupted=interrupted)


def test_text_beside_the_numbers_reaches_verls_dumps_and_is_no_reward():
    def like_verls(response):
        return {"score": 1.0, "exact": True, "pred": "42"}

    vector = score(math=like_verls)
    assert vector.scores == {"math/score": 1.0, "math/exact": 1.0}
    assert RewardVector.loads(vector.dumps()).texts == {"math/pred": "42"}
    declared = score(math={"call": like_verls, "outputs": {"score": 1.0, "exact": 0.5}})
    assert declared.scores == {"score": 1.0, "exact": 1.0}
    assert not declared.failures


def test_a_text_in_place_of_a_number_is_a_failure():
    declared = score(math={"call": lambda response: {"score": "0.5"}, "outputs": {"score": 1.0}})
    assert "accepted: a number" in declared.failures["math"]
    assert "at least one number" in score(math=lambda response: {"score": "0.5"}).failures["math"]


def test_decimals_are_numbers():
    assert score(exact=lambda response: Decimal("0.25")).scores == {"exact": 0.25}


class AClass:
    def __init__(self, response):
        pass


async def a_generator(response):
    yield 1.0


def names_nothing(*args, **kwargs):
    return 1.0


@pytest.mark.parametrize(
    ("function", "remedy"),
    [
        (AClass, "put an object of it into the module"),
        (a_generator, "return its score"),
        (names_nothing, "name those that it needs"),
        (partial(AClass), "put an object of it into the module"),
    ],
)
def test_what_can_be_called_but_gives_no_score_is_refused_with_the_remedy(function, remedy):
    with pytest.raises(ConfigError, match=remedy):
        scorer(odd=function)


def test_an_argument_that_a_partial_has_set_stays_as_it_is():
    def same(response, ground_truth):
        return float(response == ground_truth)

    assert score(same=partial(same, ground_truth=SAMPLE.response)).scores == {"same": 1.0}


# --- conditions -----------------------------------------------------------------------------------------


def correct(response, ground_truth):
    return {"right": 3.0, "wrong": -3.0}.get(response)


def brief(response):
    return 0.5


SHORT_IF_CORRECT = {"call": brief, "only_if": {"correct": 3.0}, "otherwise": -1.0}


@pytest.mark.parametrize(
    ("response", "scores"),
    [
        ("right", {"brief": 0.5, "correct": 3.0}),
        ("wrong", {"brief": -1.0, "correct": -3.0}),
        ("neither", {"brief": None, "correct": None}),
    ],
)
def test_a_reward_counts_only_where_another_reaches_a_value(response, scores):
    vector = score(Sample(response), brief=SHORT_IF_CORRECT, correct=correct)
    assert vector.scores == scores
    assert not vector.failures


def test_where_the_other_reward_failed_it_is_missing_and_not_failed():
    vector = score(brief=SHORT_IF_CORRECT, correct=lambda response: 1 / 0)
    assert vector.scores == {"brief": None, "correct": None}
    assert list(vector.failures) == ["correct"]


def test_all_conditions_have_to_hold_and_look_at_what_rewards_returned():
    """Also of rewards with conditions of their own, so that the order does not matter."""
    rewards = {
        "easy": {"call": brief, "only_if": {"hard": 1.0, "correct": 3.0}},
        "hard": {"call": lambda response: 1.0, "only_if": {"correct": 3.0}},
        "correct": correct,
    }
    assert score(Sample("right"), **rewards).scores == {"easy": 0.5, "hard": 1.0, "correct": 3.0}
    assert score(Sample("wrong"), **rewards).scores == {"easy": 0.0, "hard": 0.0, "correct": -3.0}


def test_conditions_reach_every_score_of_a_dict_and_look_at_its_weighted_mean():
    rewards = {
        "rubric": lambda response: {"a": 1.0, "b": Score(0.0, weight=3.0), "c": None},
        "style": {"call": lambda response: {"x": 1.0, "y": None}, "only_if": {"rubric": 0.5}},
    }
    assert score(**rewards).scores == {
        "rubric/a": 1.0, "rubric/b": 0.0, "rubric/c": None, "style/x": 0.0, "style/y": None
    }  # fmt: skip


def test_a_value_below_its_worth_without_the_condition_is_a_failure_that_says_what_to_set():
    late = {"call": lambda response: -0.5, "only_if": {"correct": 3.0}}
    for response in ("right", "wrong"):
        vector = score(Sample(response), late=late, correct=correct)
        assert vector.scores["late"] is None
        assert "set reward.rvpo.rewards.late.otherwise to its lowest value" in vector.failures["late"]


# --- in a process ---------------------------------------------------------------------------------------

IN_PROCESS = f"{ROOT}/tests/support/process_rewards.py"


def in_process(function, sample=SAMPLE, **options):
    spec = {"function": f"{IN_PROCESS}:{function}", "executor": "process", **options}
    return asyncio.run(Scorer(parse(RewardsConfig, {"rewards": {"it": spec}}, "reward.rvpo")).score(sample))


def test_a_reward_in_a_process_has_a_main_thread_of_its_own():
    assert in_process("by_alarm").scores == {"it": 1.0}


def test_a_timeout_ends_the_process_and_its_work(tmp_path):
    file = tmp_path / "pid"
    vector = in_process("for_ever", Sample(str(file)), timeout=2.0)
    assert vector.failures["it"].startswith("TimeoutError: no answer within 2 s")
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


def test_a_process_ends_with_a_worker_that_is_killed(tmp_path):
    """As Ray or a scheduler kills it: nobody is left to end the process at the timeout of its reward."""
    file = tmp_path / "pid"
    code = (
        "import asyncio\n"
        "from rvpo_verl.rewards.processes import Processes\n"
        f"asyncio.run(Processes().run({IN_PROCESS + ':for_ever'!r}, [{str(file)!r}], {{}}, 600))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code])
    try:
        waited_for(lambda: file.exists() and file.read_text())
    finally:
        worker.kill()
        worker.wait()
    process = int(file.read_text())
    waited_for(lambda: not Path(f"/proc/{process}").exists())


def waited_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)


def test_an_alarm_in_a_thread_is_a_failure_that_says_where_it_works():
    failed = score(math=by_alarm).failures["math"]
    assert failed.endswith("set reward.rvpo.rewards.math.executor=process")


def test_what_is_raised_in_a_process_is_a_failure_by_its_kind():
    assert in_process("exits").failures == {"it": "SystemExit: 3"}
    assert in_process("unprintable").failures["it"].startswith("Unprintable: (its message cannot be shown")
    assert in_process("dies").failures["it"].startswith("ProcessExpired")


def test_what_cannot_be_sent_to_a_process_is_not_on_offer_there():
    with pytest.raises(ConfigError, match="'tokenizer' is not available here"):
        in_process("wants_the_tokenizer")


def test_a_cancellation_is_no_failure_and_reaches_the_rewards():
    cancelled = []

    async def waits(response):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def cancel():
        task = asyncio.create_task(scorer(waits=waits, sleeps=lambda response: time.sleep(1)).score(SAMPLE))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert cancelled == [True]


def test_a_reward_that_cancels_itself_failed():
    async def cancels(response):
        asyncio.current_task().cancel()
        await asyncio.sleep(1)

    vector = score(cancels=cancels, good=lambda response: 1)
    assert vector.scores == {"cancels": None, "good": 1.0}
    assert vector.failures == {"cancels": "CancelledError: the reward was cancelled, and not by verl"}


# --- time -----------------------------------------------------------------------------------------------


def test_a_slow_reward_is_missing_and_holds_nothing_up():
    async def stubborn(response):
        for _ in range(3):
            try:
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                continue
        return 1

    started = time.perf_counter()
    vector = score(
        thread={"call": lambda response: time.sleep(0.5), "timeout": 0.1},
        loop={"call": stubborn, "timeout": 0.1},
        good=lambda response: 1,
    )
    assert vector.scores == {"thread": None, "loop": None, "good": 1.0}
    assert vector.failures == dict.fromkeys(["thread", "loop"], "TimeoutError: no answer within 0.1 s")
    assert time.perf_counter() - started < 2


def test_rewards_run_at_the_same_time_and_leave_the_event_loop_free():
    both, by_the_loop = threading.Barrier(2), threading.Event()

    def waits(response):
        both.wait(20)
        return float(by_the_loop.wait(20))

    async def score(two):
        task = asyncio.create_task(two.score(SAMPLE))
        await asyncio.sleep(0.05)
        by_the_loop.set()
        return await task

    assert asyncio.run(score(scorer(one=waits, other=waits))).scores == {"one": 1.0, "other": 1.0}


def test_waiting_for_a_thread_is_no_failure():
    def sleeps(response):
        time.sleep(0.05)
        return 1

    async def flood(one):
        return await asyncio.gather(*(one.score(SAMPLE) for _ in range(800)))

    # The last of them wait more than a second for one of the threads.
    vectors = asyncio.run(flood(scorer(sleeps={"call": sleeps, "timeout": 0.8})))
    assert all(vector.scores == {"sleeps": 1.0} for vector in vectors)


def test_rewards_that_hang_take_no_thread_from_the_others():
    release = threading.Event()

    async def flood(both):
        vectors = [await asyncio.gather(*(both.score(SAMPLE) for _ in range(40))) for _ in range(2)]
        return vectors[0] + vectors[1]

    hangs = {"call": lambda response: release.wait(30), "timeout": 0.05}
    vectors = asyncio.run(flood(scorer(hangs=hangs, good=lambda response: 1)))
    release.set()
    assert len(vectors) == 80
    assert all(vector.scores == {"hangs": None, "good": 1.0} for vector in vectors)


def test_no_call_is_lost_among_calls_that_are_fast_slow_or_hang():
    sleeps = random.Random(0)

    def varied(response):
        time.sleep(sleeps.choice([0, 0, 0.001, 0.05]))
        return 1

    async def flood(one):
        vectors = []
        for _ in range(20):
            vectors += await asyncio.gather(*(one.score(SAMPLE) for _ in range(50)))
        return vectors

    vectors = asyncio.run(flood(scorer(varied={"call": varied, "timeout": 0.02}, fast=lambda response: 1)))
    failed = [vector for vector in vectors if vector.failures]
    assert 0 < len(failed) < len(vectors) == 1000
    assert all(
        vector.scores == {"varied": None if vector.failures else 1.0, "fast": 1.0} for vector in vectors
    )


def test_a_reward_that_hangs_does_not_keep_the_interpreter(tmp_path):
    (tmp_path / "hang.py").write_text("import time\ndef hang(response): time.sleep(600)\n")
    code = (
        "import asyncio, importlib.util\n"
        "importlib.util.find_spec = lambda name: None\n"  # verl would only take time here
        "from rvpo_verl.config import RewardsConfig\n"
        "from rvpo_verl.schema import parse\n"
        "from rvpo_verl.rewards.call import Sample, Scorer\n"
        f"rewards = {{'hang': {{'function': {str(tmp_path / 'hang.py')!r} + ':hang', 'timeout': 0.1}}}}\n"
        "print(asyncio.run(Scorer(parse(RewardsConfig, {'rewards': rewards}, '')).score(Sample(''))).failures)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "TimeoutError" in done.stdout, done.stderr
    assert done.returncode == 0


def test_asynchronous_rewards_are_awaited_also_behind_a_decorator():
    class Judge:
        async def __call__(self, response):
            await asyncio.sleep(0)
            return 0.25

    async def plain(response):
        await asyncio.sleep(0)
        return 0.5

    assert score(plain=plain, judge=Judge(), hidden=lambda response: plain(response)).scores == {
        "plain": 0.5,
        "judge": 0.25,
        "hidden": 0.5,
    }
