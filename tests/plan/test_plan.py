"""The arithmetic of a plan, on configurations of a few keys and values worked out by hand."""

import pyarrow
import pyarrow.parquet
import pytest
from omegaconf import OmegaConf

from rvpo_verl.errors import ConfigError
from rvpo_verl.plan.data import DataFacts, inspect_files
from rvpo_verl.plan.memory import checkpoint_gb, estimate
from rvpo_verl.plan.model import QWEN2_5
from rvpo_verl.plan.workload import workload

GIB = 2**30


def config(*overrides):
    base = {
        "data": {
            "train_batch_size": 8, "max_prompt_length": 100, "max_response_length": 100, "prompt_key": "prompt",
            "train_files": "train.parquet", "val_files": "val.parquet",
        },
        "trainer": {
            "nnodes": 2, "n_gpus_per_node": 4, "total_epochs": 3, "total_training_steps": None, "test_freq": 10,
            "save_freq": 4, "val_before_train": True,
        },
        "actor_rollout_ref": {
            "rollout": {
                "n": 16, "val_kwargs": {"n": 1}, "tensor_model_parallel_size": 2, "gpu_memory_utilization": 0.5,
            },
            "actor": {
                "strategy": "fsdp2", "ppo_epochs": 1, "ppo_mini_batch_size": 4, "use_dynamic_bsz": True,
                "ppo_max_token_len_per_gpu": 1000, "ulysses_sequence_parallel_size": 1,
                "fsdp_config": {"fsdp_size": -1, "param_offload": False, "optimizer_offload": False},
                "megatron": {
                    "tensor_model_parallel_size": 4, "pipeline_model_parallel_size": 1, "context_parallel_size": 1,
                    "param_offload": True, "optimizer_offload": True,
                },
                "checkpoint": {"save_contents": ["model", "optimizer", "extra", "hf_model"]},
            },
        },
        "reward": {"reward_manager": {"name": "naive"}},
    }  # fmt: skip
    return OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides)))


def test_steps_rollouts_and_checkpoints_are_counted():
    work = workload(config(), DataFacts(45, None), DataFacts(20, None))
    assert (work.steps_per_epoch, work.steps) == (5, 15)  # 45 // 8, three epochs
    assert (work.prompts, work.rollouts, work.updates) == (8, 128, 2)
    assert work.checkpoints == 4  # 4, 8, 12, and the last
    assert work.validations == 3  # before, at 10, and after the last
    assert work.judge_calls is None


def test_a_number_of_steps_ends_the_run_early_and_needs_no_data():
    assert workload(config("trainer.total_training_steps=7"), DataFacts(45, None), None).steps == 7
    assert workload(config("trainer.total_training_steps=70"), DataFacts(45, None), None).steps == 15
    assert workload(config("trainer.total_training_steps=7"), None, None).steps == 7
    assert workload(config(), None, None).steps is None


@pytest.mark.parametrize(
    ("judge", "calls"), [("{calls: criterion}", 960), ("{calls: response}", 128), ("{votes: 3}", 2880)]
)
def test_judge_calls_follow_criteria_mode_and_votes(judge, calls):
    rubric = config(f"reward.rvpo.rewards.rubric.kwargs.judge={judge}")
    work = workload(rubric, DataFacts(45, 7.5), DataFacts(20, 5.0))
    assert work.judge_calls == calls  # 128 responses of 7.5 criteria
    assert work.validation_judge_calls == {960: 100, 128: 20, 2880: 300}[calls]


def test_data_that_fill_no_step_are_refused():
    with pytest.raises(ConfigError, match=r"train_batch_size=8: the training files hold only 7 rows"):
        workload(config(), DataFacts(7, None), None)


def test_memory_of_fsdp_is_sharded_over_all_gpus():
    shape = QWEN2_5["1.5B"]
    memory = estimate(config(), shape, 80)
    layer = (shape.parameters - shape.vocabulary * 1536) / 28
    assert memory.state == pytest.approx((16 * shape.parameters / 8 + 4 * layer) / GIB)
    per_token = 2 * 1536 * 28 + 2 * (8 * 1536 + 3 * 8960) + 10 * 151936
    assert memory.activations == pytest.approx(1000 * per_token / GIB)
    assert memory.kept == pytest.approx(12 * shape.parameters / 8 / GIB)  # no gradients
    assert memory.rollout == 40
    # keys and values of 2 heads of 128 in 28 layers, bf16, over 2 GPUs
    assert memory.kv_tokens == int((40 * GIB - shape.parameters) / (2 * 2 * 28 * 256 / 2))


def test_memory_of_megatron_is_split_by_tensors_and_its_optimizer_over_all_gpus():
    shape = QWEN2_5["14B"]
    memory = estimate(config("actor_rollout_ref.actor.strategy=megatron"), shape, 80)
    assert memory.state == pytest.approx((6 / 4 + 12 / 8) * shape.parameters / GIB)
    assert memory.kept == 0  # moved to the host


def test_offloading_leaves_nothing_on_the_gpu_while_vllm_generates():
    offloaded = [
        f"actor_rollout_ref.actor.fsdp_config.{what}_offload=True" for what in ("param", "optimizer")
    ]
    assert estimate(config(*offloaded), QWEN2_5["14B"], 80).kept == 0


def test_a_checkpoint_holds_what_is_saved():
    assert checkpoint_gb(config(), QWEN2_5["3B"]) == pytest.approx(14 * QWEN2_5["3B"].parameters / GIB)
    only = config("actor_rollout_ref.actor.checkpoint.save_contents=[hf_model]")
    assert checkpoint_gb(only, QWEN2_5["3B"]) == pytest.approx(2 * QWEN2_5["3B"].parameters / GIB)


# --- data -----------------------------------------------------------------------------------------------

ROW = {
    "prompt": [{"role": "user", "content": "?"}],
    "data_source": "rlla",
    "reward_model": {"ground_truth": "x"},
    "extra_info": {"rubric": [{"criterion": "a"}, {"criterion": "b"}]},
}
TOOL_CALLING = ["reward.reward_manager.name=rvpo", "reward.rvpo.rewards.tool_call_format.weight=1"]


@pytest.fixture
def files(tmp_path):
    def write(name, *rows):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), tmp_path / name)
        return f"data.{name.removesuffix('.parquet')}_files={tmp_path / name}"

    return write


def test_rows_and_criteria_are_counted(files, tmp_path):
    (tmp_path / "judge.py").write_text("def rubric(response, extra_info, *, judge): return None\n")
    other = ROW | {"extra_info": {"rubric": [{"criterion": "a"}] * 5}}
    given = config(
        files("train.parquet", ROW, other), files("val.parquet", ROW), "reward.reward_manager.name=rvpo",
        f"reward.rvpo.rewards.rubric.function={tmp_path / 'judge.py'}:rubric",
    )  # fmt: skip
    assert inspect_files(given) == (DataFacts(2, 3.5), DataFacts(1, 2.0))


def test_missing_files_and_columns_are_all_named(files, tmp_path):
    bare = {"prompt": ROW["prompt"], "reward_model": {"style": "rule"}}
    (tmp_path / "val.parquet").write_text("no parquet")
    with pytest.raises(ConfigError) as caught:
        inspect_files(
            config(files("train.parquet", bare), f"data.val_files={tmp_path / 'val.parquet'}", *TOOL_CALLING)
        )
    message = str(caught.value)
    assert "no column data_source, which verl reads; there are prompt, reward_model" in message
    assert "no column reward_model.ground_truth, which reward tool_call_format reads" in message
    assert "not a parquet file" in message

    with pytest.raises(ConfigError, match=r"data.train_files=train.parquet: there is no such file"):
        inspect_files(config())
