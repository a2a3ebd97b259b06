"""verl's launcher trains on ragged rubrics while the judge fails in every way: nothing is lost, nothing is zero."""

import json
from collections import Counter
from pathlib import Path

import pytest
import reference
import torch
from scripted_judge import scripted_judge

from rvpo_verl.cpu import launch, policy, tasks
from rvpo_verl.cpu.policy import WarmUp

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(900)]

FAULTS = {"timeout": 0.20, "server_error": 0.10, "rate_limited": 0.05, "malformed": 0.05}
CRITERIA = (5, 17, 5, 17)
"""Of each prompt of a batch."""
ROLLOUTS, STEPS, WORKERS = 4, 2, 2
CATEGORIES = ("Essential", "Important", "Optional", "Pitfall")


def rows():
    return [
        {
            "data_source": "chaos",
            "prompt": [{"role": "user", "content": f"Question {prompt}: what helps against a cough?"}],
            "ability": "medicine",
            "reward_model": {"style": "rubric", "ground_truth": ""},
            "extra_info": {
                "index": prompt,
                "rubric": [
                    {
                        "criterion": f"P{prompt}C{number}",
                        "category": CATEGORIES[number % 4],
                        "weight": (1.0, 0.7, 0.3, 0.9)[number % 4],
                        "polarity": -1 if number % 4 == 3 else 1,
                        "levels": 4 if number % 5 == 4 else 1,
                    }
                    for number in range(count)
                ],
            },
        }
        for prompt, count in enumerate(CRITERIA)
    ]


def random_policy(folder: Path) -> Path:
    settings = WarmUp(merges=50, hidden_size=32, intermediate_size=64, layers=1, positions=256)
    texts = [message["content"] for row in rows() for message in row["prompt"]]
    tokenizer = policy.build_tokenizer(texts, settings.merges)
    torch.manual_seed(0)
    policy.build_model(tokenizer, settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def overrides(folder: Path, base_url: str, use_v1: bool) -> list[str]:
    judge = "reward.rvpo.rewards.rubric.kwargs.judge"
    return [
        *launch.cpu_overrides(),
        "+rvpo=rubrics",
        "reward.rvpo.max_failure_share=0.6",
        f'{judge}.endpoints=[{{base_url:"{base_url}",model:judge,api_key_env:CHAOS_KEY}}]',
        f"{judge}.attempts=1",  # so that each fault is one failed verdict
        f"{judge}.timeout=10",
        f"{judge}.limit=128",
        f"reward.num_workers={WORKERS}",
        f"trainer.use_v1={use_v1}",
        f"data.train_files={folder / 'train.parquet'}",
        f"data.val_files={folder / 'train.parquet'}",
        f"data.train_batch_size={len(CRITERIA)}",
        "data.max_prompt_length=64",
        "data.max_response_length=8",
        f"actor_rollout_ref.model.path={folder / 'policy'}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={len(CRITERIA)}",
        "actor_rollout_ref.actor.use_kl_loss=False",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=4096",
        f"actor_rollout_ref.rollout.n={ROLLOUTS}",
        "trainer.logger=[console,file]",
        "trainer.experiment_name=chaos",
        f"trainer.total_training_steps={STEPS}",
        f"trainer.total_epochs={STEPS}",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        "trainer.resume_mode=disable",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
    ]


@pytest.fixture(scope="module", params=["V1", "V0"])
def run(request, tmp_path_factory):
    """Steps as they were recorded, every call to the judge, the metrics that verl logged, and the run's output."""
    folder = tmp_path_factory.mktemp("chaos")
    tasks.write_parquet(rows(), folder / "train.parquet")
    random_policy(folder / "policy")
    with scripted_judge(faults=FAULTS, latency=0.02, key="chaos-secret") as server:
        env = {
            "VERL_USE_EXTERNAL_MODULES": "rvpo_verl,rubric_recorder",
            "PYTHONPATH": str(Path(__file__).parent),
            "RECORDER_FILE": str(folder / "recorded.jsonl"),
            "VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl"),
            "CHAOS_KEY": "chaos-secret",
        }
        log = folder / "launcher.log"
        command = overrides(folder, server.base_url, use_v1=request.param == "V1")
        process = launch.launch(command, cwd=folder, log=log, env=env)
        try:
            status = process.wait(700)
        finally:
            launch.stop(process)
        assert status == 0, log.read_text(errors="replace")[-5000:]
        calls = [call for call in server.log() if ") P" in call["asked"]]  # not the one before the training
    read = lambda name: [json.loads(line) for line in (folder / name).read_text().splitlines()]  # noqa: E731
    return read("recorded.jsonl"), calls, read("metrics.jsonl"), log.read_text(errors="replace")


def test_no_rollout_is_lost(run):
    steps, calls, _, _ = run
    assert [len(step["rows"]) for step in steps] == [len(CRITERIA) * ROLLOUTS] * STEPS
    for step in steps:
        sizes = Counter(len(row["vector"]["scores"]) for row in step["rows"])
        assert sizes == {5: 2 * ROLLOUTS, 17: 2 * ROLLOUTS}
    assert len(calls) == sum(CRITERIA) * ROLLOUTS * STEPS


def test_every_verdict_arrived_or_is_missing_for_what_the_judge_did(run):
    """Of each criterion, what the judge answered against what the training saw, as counts."""
    steps, calls, _, _ = run
    by_size = {}
    for row in rows():
        by_size.setdefault(len(row["extra_info"]["rubric"]), []).extend(row["extra_info"]["rubric"])
    answered = Counter()
    for call in calls:
        name = call["asked"].rpartition(" ")[2]
        prompt, number = map(int, name[1:].split("C"))
        criterion = rows()[prompt]["extra_info"]["rubric"][number]
        truth = float(call["verdicts"]["1"]) / criterion["levels"]
        reward = truth if criterion["polarity"] > 0 else 1 - truth
        answered[CRITERIA[prompt], number, call["fault"] or reward] += 1
    seen = Counter()
    for step in steps:
        for row in step["rows"]:
            vector = row["vector"]
            for name, score in vector["scores"].items():
                number = int(name.rpartition("/")[2]) - 1
                outcome = vector["failures"][name].partition(":")[0] if score is None else score
                seen[len(vector["scores"]), number, outcome] += 1
    assert seen == answered
    assert {outcome for *_, outcome in seen} >= set(FAULTS) | {0.0, 1.0}


def test_advantages_equal_those_with_the_failed_verdicts_marked_missing(run):
    steps, _, _, _ = run
    for step, k in zip(steps, (0.5, 2.0), strict=True):
        groups = sorted({row["group"] for row in step["rows"]})
        rewards, weights = [], []
        for row in step["rows"]:
            scores, given = row["vector"]["scores"], row["vector"]["weights"]
            padding = max(CRITERIA) - len(scores)
            rewards.append(
                [float("nan") if s is None else s for s in scores.values()] + [float("nan")] * padding
            )
            weights.append([given[name] for name in scores] + [0.0] * padding)
        assert any(score != score for row in rewards for score in row)
        expected = reference.advantage(
            rewards,
            [groups.index(row["group"]) for row in step["rows"]],
            [row["tokens"] for row in step["rows"]],
            weights=weights,
            k=k,
        )
        assert [row["advantage"] for row in step["rows"]] == pytest.approx(expected, abs=1e-5)


def test_failure_metrics_equal_what_was_injected(run):
    steps, calls, logged, _ = run
    injected = Counter(call["fault"] for call in calls if call["fault"])
    asked = sum(CRITERIA) * ROLLOUTS
    metrics = [line["data"] for line in logged]
    assert len(metrics) == STEPS
    for kind in FAULTS:
        counted = sum(line.get(f"rvpo/rubric/failed/{kind}", 0.0) * asked for line in metrics)
        assert counted == pytest.approx(injected[kind], abs=1e-6), kind
    assert sum(line["rvpo/rubric/failed"] * asked for line in metrics) == pytest.approx(
        injected.total(), abs=1e-6
    )
    for line, step in zip(metrics, steps, strict=True):
        for category in CATEGORIES:
            family = f"rubric/{category}"
            scores = [
                score
                for row in step["rows"]
                for name, score in row["vector"]["scores"].items()
                if name.startswith(family)
            ]
            missing = sum(score is None for score in scores) / len(scores)
            assert line[f"rvpo/{family}/missing"] == pytest.approx(missing, abs=1e-6)


def test_the_key_is_in_no_log(run):
    assert "chaos-secret" not in run[3]
