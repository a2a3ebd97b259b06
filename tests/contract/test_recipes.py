"""Every recipe with every algorithm composes and validates under the installed verl; every script plans."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from rvpo_verl.attach.compose import compose_config
from rvpo_verl.attach.hooks import verl_version
from rvpo_verl.attach.verl_config import advantage_config

RECIPES = Path(__file__).parents[2] / "recipes"
SCRIPTS = sorted(str(path.relative_to(RECIPES)) for path in RECIPES.glob("*/run_*.sh"))
ALGORITHMS = {
    "rvpo": ("rvpo", "softmin"),
    "gdpo": ("rvpo", "mean"),
    "grpo": ("grpo", "softmin"),
    "hard_min": ("rvpo", "min"),
    "variance": ("rvpo", "variance"),
}
CALL = {"name": "add", "parameters": {"a": 1}}
RUBRIC = [
    {"criterion": f"says {word}", "title": "", "category": "", "weight": 1.0, "polarity": 1, "levels": 1}
    for word in ("a", "b", "c")
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One file that serves every recipe: 40 rows, three criteria each."""
    row = {
        "data_source": "rlla",
        "prompt": [{"role": "user", "content": "?"}],
        "reward_model": {"style": "rule", "ground_truth": "<think> x </think>"},
        "extra_info": {"index": 0, "rubric": RUBRIC},
    }
    file = tmp_path_factory.mktemp("data") / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row] * 40), file)
    return file


def run(script, *options, **variables):
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "JUDGE_URL": "http://judge:8000/v1",
        "DRY_RUN": "options",
        "COLUMNS": "200",
    } | variables
    return subprocess.run(
        ["bash", str(RECIPES / script), *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )


def options(script, **variables):
    done = run(script, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_there_is_a_recipe_for_every_run_of_the_paper():
    assert SCRIPTS == [
        "rubrics/run_qwen2.5_14b_fsdp.sh",
        "rubrics/run_qwen2.5_14b_megatron.sh",
        "rubrics/run_qwen2.5_3b_fsdp.sh",
        "rubrics/run_qwen2.5_7b_fsdp.sh",
        "tool_calling/run_qwen2.5_1.5b_fsdp.sh",
        "tool_calling/run_qwen2.5_3b_fsdp.sh",
    ]


@pytest.mark.parametrize(("script", "algorithm"), [*itertools.product(SCRIPTS, ALGORITHMS)])
def test_every_recipe_is_valid_with_every_algorithm(script, algorithm):
    config = compose_config("verl.trainer.main_ppo", options(script, ALGO=algorithm))
    estimator, aggregation = ALGORITHMS[algorithm]
    assert config.algorithm.adv_estimator == estimator
    assert advantage_config(config.algorithm).aggregation == aggregation
    assert config.reward.reward_manager.name == "rvpo"
    assert config.actor_rollout_ref.actor.strategy == ("megatron" if "megatron" in script else "fsdp2")


@pytest.mark.skipif(not verl_version().startswith("0.8."), reason="main_ppo_sync is verl 0.8's")
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_recipe_is_valid_with_the_sync_trainer(script):
    assert compose_config("verl.trainer.main_ppo_sync", options(script)).transfer_queue.enable


@pytest.mark.parametrize("judge", ["pool", "colocated"])
def test_verl_may_serve_the_judge(judge):
    config = compose_config(
        "verl.trainer.main_ppo", options("rubrics/run_qwen2.5_7b_fsdp.sh", JUDGE=judge, DATASET="science")
    )
    assert config.reward.reward_model.enable_resource_pool == (judge == "pool")
    assert config.reward.rvpo.rewards.rubric.kwargs.judge.get("endpoints") is None
    assert config.data.train_files.endswith("rar-science/train.parquet")


@pytest.fixture(scope="module")
def planned(data):
    """`DRY_RUN=1` of every script."""
    sizes = {"TRAIN_BATCH_SIZE": "8", "PPO_MINI_BATCH_SIZE": "8", "TOTAL_STEPS": "6", "TOTAL_EPOCHS": "2"}

    def plan(script):
        files = {"TRAIN_FILES": str(data), "VAL_FILES": str(data)}
        return run(script, DRY_RUN="1", **files, **sizes)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SCRIPTS, pool.map(plan, SCRIPTS), strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_prints_its_plan(planned, script):
    done = planned[script]
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert f"verl.trainer.main_ppo, verl {verl_version()}" in text
    assert "steps 6 (5 an epoch" in text
    if "rubrics" in script:
        assert "8 prompts x 16 = 128 rollouts" in text
        assert "service calls rubric: 384 a step, 120 a validation" in text
    else:
        assert "8 prompts x 4 = 32 rollouts" in text


@pytest.mark.parametrize(
    ("script", "variables", "message"),
    [
        (SCRIPTS[0], {"JUDGE_URL": ""}, "JUDGE_URL is not set"),
        (SCRIPTS[0], {"JUDGE": "cloud"}, "JUDGE=cloud: expected server, pool or colocated"),
        (SCRIPTS[0], {"DATASET": "law"}, "DATASET=law: expected medicine or science"),
        (SCRIPTS[-1], {"ALGO": "ppo"}, "ALGO=ppo: expected rvpo, gdpo, grpo, hard_min or variance"),
        (SCRIPTS[-1], {"DRY_RUN": "yes"}, "DRY_RUN=yes: expected 0, 1, config or options"),
    ],
)
def test_a_variable_that_is_not_understood_says_what_is(script, variables, message):
    done = run(script, **variables)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_start_that_resumes_does_not_empty_the_log_of_the_one_before(tmp_path):
    """verl's file logger truncates: the second start of a run must be given another file."""
    trainer = tmp_path / "trainer"
    trainer.write_text('#!/bin/sh\nshift 2\nprintf "%s\\n" "$@"\n')
    trainer.chmod(0o755)
    first, second = [], []
    for said in (first, second):
        done = run(SCRIPTS[-1], "last=1", DRY_RUN="0", PYTHON=str(trainer), OUTPUT=str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
        said += done.stdout.splitlines()
        (tmp_path / "out/metrics-1.jsonl").touch()
    path = "++ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH="
    assert f"{path}'{tmp_path}/out/metrics-1.jsonl'" in first
    assert f"{path}'{tmp_path}/out/metrics-2.jsonl'" in second
    assert second[-1] == "last=1"
