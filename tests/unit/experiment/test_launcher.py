"""The experiment as launches of verl: settings, the policy's words, rewards, and what validations say."""

import asyncio
import json
import re
import statistics as stdlib

import pytest
import torch
from experiment import grid, launcher, prompts, qwen, report, scoring, tasks, warm_up, words
from experiment.answers import Answers
from experiment.grid import Run
from experiment.loop import FINAL_SAMPLES
from experiment.methods import METHODS
from omegaconf import OmegaConf

from rvpo_verl.attach.compose import compose_config
from rvpo_verl.attach.verl_config import advantage_config, settings
from rvpo_verl.config import RewardsConfig
from rvpo_verl.cpu import policy
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.schema import parse


def run(task="shortcut", method="k5+c", **options):
    return Run(**{"task": task, "method": method, "checkpoint": 0, "seed": 0, "steps": 30} | options)


def composed(of, tmp_path):
    """What verl's launcher would train with, validated by verl and by the plugin."""
    return compose_config(
        "verl.trainer.main_ppo", launcher.overrides(of, tmp_path / "policy", tmp_path / "run")
    )


@pytest.fixture(scope="module")
def tokenizer():
    return qwen.build_tokenizer()


@pytest.fixture(scope="module")
def answers():
    """Flawed and random ones."""
    generator = torch.Generator().manual_seed(3)
    asked = prompts.sample(200, generator)
    flawed = warm_up.demonstrations(asked[:120], 0.3, generator)
    noise = torch.randint(words.VOCABULARY, (80, words.MAX_WORDS), generator=generator)
    found = torch.cat([flawed, noise])
    return Answers(torch.where((found == words.END).cumsum(dim=1) > 0, words.END, found), asked)


def test_of_every_other_setting_all_runs_of_a_task_have_the_same(tmp_path):
    """Only the method, and the names of files, tell the runs of a task and seed apart."""
    for task, checkpoint, methods in grid.CONFIRMED:
        cell = [item for item in grid.confirm_grid() if (item.task, item.checkpoint) == (task, checkpoint)]
        pair = [item for item in cell if item.seed == 1]
        assert [item.method for item in pair] == list(methods)
        common = []
        for item in pair:
            own = launcher.method_overrides(METHODS[item.method], tasks.task(task).rewards)
            lines = launcher.overrides(item, tmp_path, tmp_path)
            common.append([line for line in lines if line not in own and item.key not in line])
        assert common[0] == common[1]


@pytest.mark.parametrize("method", ["k5+c", "guarded2", "rising", "variance", "min", "k2+c+drop", "tail5"])
def test_a_method_is_launched_with_its_settings_of_the_estimator(method, tmp_path):
    config = composed(run(method=method), tmp_path)
    assert config.algorithm.adv_estimator == "rvpo"
    assert settings(advantage_config(config.algorithm)) == METHODS[method].settings


def test_gdpo_is_verls_own_on_the_same_rewards(tmp_path):
    config = composed(run("discovery", "gdpo"), tmp_path)
    assert config.algorithm.adv_estimator == "gdpo"
    assert not config.trainer.use_v1
    rewards = parse(RewardsConfig, OmegaConf.to_container(config.reward.rvpo), "reward.rvpo")
    assert list(config.algorithm.gdpo_reward_keys) == rewards.names() == list(tasks.DISCOVERY.rewards)


def test_a_step_is_one_update_on_all_answers_of_its_prompts(tmp_path):
    config = composed(run(group_size=4, answers=64), tmp_path)
    assert config.data.train_batch_size == config.actor_rollout_ref.actor.ppo_mini_batch_size == 16
    assert config.actor_rollout_ref.rollout.n == 4
    assert len(launcher.training_prompts(run(group_size=4, answers=64))) == 16 * 30


def test_code_of_the_experiment_and_unreliable_judges_cannot_be_launched(tmp_path):
    for method in ("adaptive", "k2+c+shrink"):
        with pytest.raises(ValueError, match=f"{re.escape(repr(method))} sets k or Z by code"):
            launcher.overrides(run(method=method), tmp_path, tmp_path)
    with pytest.raises(ValueError, match="none flipped"):
        launcher.overrides(run(flipped=0.2), tmp_path, tmp_path)


def test_every_answer_comes_back_from_its_tokens(tokenizer, answers):
    for answer in answers.words_NT.tolist():
        ids = qwen.token_ids(tokenizer, answer)
        assert len(ids) <= words.MAX_WORDS
        assert qwen.answer_words(tokenizer, ids) == answer


def test_the_report_says_how_large_the_policy_is(tokenizer):
    size = policy.build_model(tokenizer, qwen.SETTINGS).num_parameters()
    assert f"a Qwen2 of {size:,} parameters" in " ".join(report.TEMPLATE.read_text().split())


def test_special_tokens_are_no_words_of_an_answer(tokenizer):
    start, end, newline = tokenizer.convert_tokens_to_ids([policy.START, policy.END, "\n"])
    think = tokenizer.convert_tokens_to_ids("<think>")
    expected = [words.THINK] + [words.END] * (words.MAX_WORDS - 1)
    assert qwen.answer_words(tokenizer, [start, think, newline, tokenizer.pad_token_id, end]) == expected


def test_a_prompt_is_its_fields_in_words(tokenizer):
    text = qwen.prompt_text([1, 2, 3, 0])
    assert text == "send_mail place-3 day-0 send_mail"
    assert qwen.prompt_text([1, 0, 3, 0]) == "send_mail place-3 day-0"
    ids = policy.prompt_ids(tokenizer, {"prompt": qwen.message([1, 2, 3, 0])})
    assert tokenizer.convert_ids_to_tokens(ids) == [*text.split(), policy.START]
    assert len(ids) == qwen.MAX_PROMPT
    every = {tuple(prompt) for prompt in prompts.evaluation().tolist()}
    assert len({qwen.prompt_text(prompt) for prompt in every}) == len(every)


@pytest.mark.parametrize("task", ["shortcut", "discovery"])
def test_the_launchers_rewards_are_the_loops(task, tokenizer, answers, tmp_path):
    """Through the scorer of the reward manager, as the run's own configuration makes it."""
    rewards = OmegaConf.to_container(composed(run(task), tmp_path).reward.rvpo)
    scorer = Scorer(parse(RewardsConfig, rewards, "reward.rvpo"))
    chosen = tasks.task(task)

    def score(split):
        rows = launcher.rows(answers.prompts_NF, task, split)
        samples = [
            Sample(
                response="",
                ground_truth=row["reward_model"]["ground_truth"],
                extra_info=row["extra_info"],
                response_ids=qwen.token_ids(tokenizer, answer),
                tokenizer=tokenizer,
            )
            for row, answer in zip(rows, answers.words_NT.tolist(), strict=True)
        ]

        async def all_of_them():
            return [await scorer.score(sample) for sample in samples]

        vectors = asyncio.run(all_of_them())
        assert all(list(vector.scores) == list(chosen.rewards) for vector in vectors)
        assert not any(vector.failures for vector in vectors)
        return torch.tensor([list(vector.scores.values()) for vector in vectors])

    expected_NM = chosen.score(answers)
    torch.testing.assert_close(score(scoring.HELD_OUT), expected_NM)
    noise_NM = score(scoring.TRAIN) - expected_NM
    judged = torch.tensor(chosen.judged)
    assert (noise_NM[:, ~judged].abs() < 1e-6).all()
    if judged.any():
        assert stdlib.stdev(noise_NM[:, judged].flatten().tolist()) == pytest.approx(tasks.JUDGE_STD, rel=0.2)


def test_an_outcome_is_what_the_validations_say(tmp_path):
    """At first no answer meets anything, at the end one in four of those in conflict and all others do."""
    asked = prompts.evaluation()
    ideal = tasks.shortcut().ideal_rewards(asked)
    conflict = prompts.in_conflict(asked)
    folder = tmp_path / "validation"
    folder.mkdir()
    for step in (0, 30):
        lines = []
        for sample in range(FINAL_SAMPLES):
            for prompt, best, in_conflict in zip(asked.tolist(), ideal.tolist(), conflict, strict=True):
                scores = dict(zip(tasks.shortcut().rewards, best, strict=True))
                if step == 0 or (in_conflict and sample % 4):
                    scores["safe"] = 0.0
                lines.append(json.dumps({"gts": json.dumps(prompt), **scores}))
        (folder / f"{step}.jsonl").write_text("\n".join(lines))
    outcome = launcher.outcome(run(), tmp_path)
    assert outcome.steps == [0, 30]
    assert outcome.met == [0.0, pytest.approx((0.25 + 1) / 2)]
    assert outcome.met_conflict == [0.0, 0.25]
    assert outcome.final_met == [FINAL_SAMPLES // 4 if c else FINAL_SAMPLES for c in conflict.tolist()]
    assert outcome.final_rewards[2] == pytest.approx((0.25 + 1) / 2)
