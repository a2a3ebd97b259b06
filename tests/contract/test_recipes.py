"""Every recipe with every algorithm composes and validates under the installed verl; every recipe prints its plan."""

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow
import pyarrow.parquet
import pytest
from omegaconf import OmegaConf

from rvpo_verl.attach.compose import compose_config
from rvpo_verl.attach.hooks import verl_version
from rvpo_verl.attach.verl_config import advantage_config
from tests.support.paths import ROOT

RECIPES = ROOT / "recipes"
RUNS = [
    "tool_calling.sh 1.5b", "tool_calling.sh 3b",
    "rubrics.sh 3b", "rubrics.sh 7b", "rubrics.sh 14b", "rubrics.sh 14b-megatron",
    "instructions.sh 1.5b", "instructions.sh 3b", "instructions.sh 7b",
]  # fmt: skip
"""A recipe and a row of its table of sizes."""
TOOL_CALLING, RUBRICS = RUNS[0], RUNS[3]
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


def run(recipe, *options, **variables):
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "JUDGE_URL": "http://judge:8000/v1",
        "DRY_RUN": "options",
        "COLUMNS": "200",
    } | variables
    return subprocess.run(
        ["bash", *str(RECIPES / recipe).split(), *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


def options(recipe, **variables):
    done = run(recipe, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", ["tool_calling.sh", "rubrics.sh", "instructions.sh"])
def test_an_unknown_size_lists_those_there_are_and_the_tests_run_all_of_them(script):
    sizes = [recipe.split()[1] for recipe in RUNS if recipe.startswith(script)]
    for given in ("", "9b", ".*"):
        done = run(f"{script} {given}".strip())
        assert done.returncode == 2
        assert f"SIZE={given}: expected one of {' '.join(sizes)}." in done.stderr


def test_a_size_decides_policy_engine_parallelism_and_offloading():
    def of(recipe, *names):
        config = compose_config("verl.trainer.main_ppo", options(recipe))
        return [OmegaConf.select(config, f"actor_rollout_ref.{name}") for name in names]

    engine = "actor.strategy", "rollout.tensor_model_parallel_size", "actor.fsdp_config.param_offload"
    assert of("tool_calling.sh 3b", "model.path", *engine) == ["Qwen/Qwen2.5-3B-Instruct", "fsdp2", 1, False]
    assert of("rubrics.sh 3b", "model.path", *engine) == ["Qwen/Qwen2.5-3B", "fsdp2", 1, False]
    assert of("rubrics.sh 14b", "model.path", *engine) == ["Qwen/Qwen2.5-14B", "fsdp2", 2, True]
    megatron = (
        "actor.megatron.tensor_model_parallel_size", "ref.megatron.tensor_model_parallel_size",
        "actor.megatron.param_offload", "rollout.tensor_model_parallel_size",
    )  # fmt: skip
    assert of("rubrics.sh 14b-megatron", "model.path", *megatron) == ["Qwen/Qwen2.5-14B", 4, 4, True, 2]


@pytest.mark.parametrize(("recipe", "algorithm"), [*itertools.product(RUNS, ALGORITHMS)])
def test_every_recipe_is_valid_with_every_algorithm(recipe, algorithm):
    config = compose_config("verl.trainer.main_ppo", options(recipe, ALGO=algorithm))
    estimator, aggregation = ALGORITHMS[algorithm]
    assert config.algorithm.adv_estimator == estimator
    assert advantage_config(config.algorithm).aggregation == aggregation
    assert config.reward.reward_manager.name == "rvpo"
    assert config.actor_rollout_ref.actor.strategy == ("megatron" if "megatron" in recipe else "fsdp2")


@pytest.mark.skipif(not verl_version().startswith("0.8."), reason="main_ppo_sync is verl 0.8's")
@pytest.mark.parametrize("recipe", RUNS)
def test_every_recipe_is_valid_with_the_sync_trainer(recipe):
    assert compose_config("verl.trainer.main_ppo_sync", options(recipe)).transfer_queue.enable


@pytest.mark.parametrize("judge", ["pool", "colocated"])
def test_verl_may_serve_the_judge(judge):
    config = compose_config("verl.trainer.main_ppo", options(RUBRICS, JUDGE=judge, DATASET="science"))
    assert config.reward.reward_model.enable_resource_pool == (judge == "pool")
    assert config.reward.rvpo.rewards.rubric.kwargs.judge.get("endpoints") is None
    assert config.data.train_files.endswith("rar-science/train.parquet")


@pytest.fixture(scope="module")
def planned(data):
    """`DRY_RUN=1` of every recipe."""
    sizes = {"TRAIN_BATCH_SIZE": "8", "PPO_MINI_BATCH_SIZE": "8", "TOTAL_STEPS": "6", "TOTAL_EPOCHS": "2"}

    def plan(recipe):
        files = {"TRAIN_FILES": str(data), "VAL_FILES": str(data)}
        return run(recipe, DRY_RUN="1", **files, **sizes)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(RUNS, pool.map(plan, RUNS), strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("recipe", RUNS)
def test_every_script_prints_its_plan(planned, recipe):
    done = planned[recipe]
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert f"verl.trainer.main_ppo, verl {verl_version()}" in text
    assert "steps 6 (5 an epoch" in text
    if "rubrics" in recipe:
        assert "8 prompts x 16 = 128 rollouts" in text
        assert "service calls rubric: 384 a step, 120 a validation" in text
    elif "instructions" in recipe:
        assert "8 prompts x 16 = 128 rollouts" in text
    else:
        assert "8 prompts x 4 = 32 rollouts" in text


@pytest.mark.parametrize(
    ("recipe", "variables", "message"),
    [
        (RUBRICS, {"JUDGE_URL": ""}, "JUDGE_URL is not set"),
        (RUBRICS, {"JUDGE": "cloud"}, "JUDGE=cloud: expected server, pool or colocated"),
        (RUBRICS, {"DATASET": "law"}, "DATASET=law: expected medicine or science"),
        (TOOL_CALLING, {"ALGO": "ppo"}, "ALGO=ppo: expected rvpo, gdpo, grpo, hard_min or variance"),
        (TOOL_CALLING, {"DRY_RUN": "yes"}, "DRY_RUN=yes: expected 0, 1, config or options"),
    ],
)
def test_a_variable_that_is_not_understood_says_what_is(recipe, variables, message):
    done = run(recipe, **variables)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_start_that_resumes_does_not_empty_the_log_of_the_one_before(tmp_path):
    """verl's file logger truncates: the second start of a run must be given another file."""
    trainer = tmp_path / "trainer"
    trainer.write_text('#!/bin/sh\nshift 2\nprintf "%s\\n" "$@"\n')
    trainer.chmod(0o755)
    first, second = [], []
    for said in (first, second):
        done = run(TOOL_CALLING, "last=1", DRY_RUN="0", PYTHON=str(trainer), OUTPUT=str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
        said += done.stdout.splitlines()
        (tmp_path / "out/metrics-1.jsonl").touch()
    path = "++ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH="
    assert f"{path}'{tmp_path}/out/metrics-1.jsonl'" in first
    assert f"{path}'{tmp_path}/out/metrics-2.jsonl'" in second
    assert second[-1] == "last=1"
