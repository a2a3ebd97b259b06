"""The arithmetic of a plan, on small configurations, with values derived by hand."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from omegaconf import OmegaConf
from verl.trainer import main_ppo

from rvpo_verl.attach.compose import _hydra_arguments
from rvpo_verl.attach.data_files import check_data_sources
from rvpo_verl.errors import ConfigError
from rvpo_verl.plan.data import DataFacts, DataReport, inspect_files
from rvpo_verl.plan.memory import estimate
from rvpo_verl.plan.model import model_shape
from rvpo_verl.plan.workload import rollout_gpus, workload

GIB = 2**30
SMALL, LARGE = model_shape("Qwen/Qwen2.5-1.5B"), model_shape("Qwen/Qwen2.5-14B")


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
    work = workload(config(), DataFacts(45), DataFacts(20))
    assert (work.steps_per_epoch, work.steps) == (5, 15)  # 45 // 8, three epochs
    assert (work.prompts, work.rollouts, work.updates) == (8, 128, 2)
    assert work.checkpoints == 4  # 4, 8, 12, and the last
    assert work.validations == 3  # before, at 10, and after the last
    assert work.service_calls == {}


def test_a_number_of_steps_ends_the_run_early_and_needs_no_data():
    assert workload(config("trainer.total_training_steps=7"), DataFacts(45), None).steps == 7
    assert workload(config("trainer.total_training_steps=70"), DataFacts(45), None).steps == 15
    assert workload(config("trainer.total_training_steps=7"), None, None).steps == 7
    assert workload(config(), None, None).steps is None


def test_service_calls_are_counted_for_every_response():
    train, validation = DataFacts(45, {"judged": 7.5}), DataFacts(20, {"judged": 5.0})
    work = workload(config("actor_rollout_ref.rollout.val_kwargs.n=2"), train, validation)
    assert work.service_calls == {"judged": (128 * 7.5, 20 * 2 * 5.0)}


def test_data_that_fill_no_step_are_refused():
    with pytest.raises(ConfigError, match=r"train_batch_size=8: the training files hold only 7 rows"):
        workload(config(), DataFacts(7), None)


def test_memory_of_fsdp_is_sharded_over_all_gpus():
    memory = estimate(config(), SMALL, 80)
    assert memory.state == pytest.approx((16 * SMALL.parameters / 8 + 4 * SMALL.layer_parameters) / GIB)
    per_token = 2 * 1536 * 28 + 2 * (8 * 1536 + 3 * 8960) + 10 * 151936
    assert memory.activations == pytest.approx(1000 * per_token / GIB)
    assert memory.kept == pytest.approx(12 * SMALL.parameters / 8 / GIB)  # no gradients
    assert memory.rollout == 40
    # keys and values of 2 heads of 128 in 28 layers, bf16, over 2 GPUs
    assert memory.kv_tokens == int((40 * GIB - SMALL.parameters) / (2 * 2 * 28 * 256 / 2))


def test_memory_of_megatron_is_split_by_tensors_and_its_optimizer_over_all_gpus():
    memory = estimate(config("actor_rollout_ref.actor.strategy=megatron"), LARGE, 80)
    assert memory.state == pytest.approx((6 / 4 + 12 / 8) * LARGE.parameters / GIB)
    assert memory.kept == 0  # moved to the host


def test_offloading_leaves_nothing_on_the_gpu_while_vllm_generates():
    offloaded = [
        f"actor_rollout_ref.actor.fsdp_config.{what}_offload=True" for what in ("param", "optimizer")
    ]
    assert estimate(config(*offloaded), LARGE, 80).kept == 0


@pytest.mark.parametrize(("contents", "size"), [("[model,optimizer,extra,hf_model]", 14), ("[hf_model]", 2)])
def test_a_checkpoint_holds_what_is_saved(contents, size):
    saved = config(f"actor_rollout_ref.actor.checkpoint.save_contents={contents}")
    assert estimate(saved, SMALL, 80).checkpoint == pytest.approx(size * SMALL.parameters / GIB)


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


JUDGED = """
class Judged:
    def __call__(self, response, extra_info, *, votes):
        return None

    def required_columns(self, kwargs):
        return ("extra_info.rubric",)

    def calls_per_response(self, kwargs, row):
        return kwargs["votes"] * len(row["extra_info"]["rubric"])

judged = Judged()
"""


@pytest.fixture
def judged(tmp_path):
    """Configuration of a reward that reads rubrics and calls a service for each criterion, three times."""
    (tmp_path / "judged.py").write_text(JUDGED)
    name = "reward.rvpo.rewards.any"
    return [
        "reward.reward_manager.name=rvpo",
        f"{name}.function={tmp_path / 'judged.py'}:judged",
        f"{name}.kwargs.votes=3",
    ]


def test_rows_and_calls_to_services_are_counted(files, judged):
    other = ROW | {"extra_info": {"rubric": [{"criterion": "a"}] * 5}, "data_source": "other"}
    given = [files("train.parquet", ROW, other), files("val.parquet", ROW), *judged]
    expected = DataReport(DataFacts(2, {"any": 10.5}), DataFacts(1, {"any": 6.0}), [])
    assert inspect_files(config(*given)) == expected
    some = config(*given, "reward.rvpo.rewards.any.data_sources=[other]")
    assert inspect_files(some) == DataReport(DataFacts(2, {"any": 7.5}), DataFacts(1, {"any": 0.0}), [])


def test_a_reward_that_calls_no_service_has_no_calls(files):
    given = config(files("train.parquet", ROW), files("val.parquet", ROW), *TOOL_CALLING)
    assert inspect_files(given) == DataReport(DataFacts(1), DataFacts(1), [])


def test_a_column_that_a_reward_requires_is_missed(files, judged):
    bare = ROW | {"extra_info": {"index": 0}}
    with pytest.raises(ConfigError, match=r"no column extra_info.rubric, which reward any reads"):
        inspect_files(config(files("train.parquet", bare), files("val.parquet", ROW), *judged))


def test_missing_files_and_columns_are_all_named(files, tmp_path):
    bare = {"prompt": ROW["prompt"], "reward_model": {"style": "rule"}}
    (tmp_path / "val.parquet").write_text("no parquet")
    with pytest.raises(ConfigError) as caught:
        inspect_files(
            config(files("train.parquet", bare), f"data.val_files={tmp_path / 'val.parquet'}", *TOOL_CALLING)
        )
    message = str(caught.value)
    assert "no column reward_model.ground_truth, which reward tool_call_format reads" in message
    assert "not a parquet file" in message

    report = inspect_files(config())
    assert report.train is None
    assert "data.train_files=train.parquet: there is no such file" in report.absent


def test_files_are_found_as_verl_finds_them(files, tmp_path):
    """JSON lines, patterns, lists, rows that hold a prompt alone, no validation, a limit of rows."""
    only_prompt = {"prompt": ROW["prompt"]}
    files("a.parquet", only_prompt, only_prompt)
    files("b.parquet", only_prompt)
    (tmp_path / "c.jsonl").write_text(f"{json.dumps(only_prompt)}\n" * 4)
    several = f"data.train_files=[{tmp_path}/*.parquet,{tmp_path}/c.jsonl]"
    assert inspect_files(config(several, "data.val_files=null")) == DataReport(DataFacts(7), DataFacts(0), [])
    limited = config(several, "data.val_files=null", "data.train_max_samples=5")
    assert inspect_files(limited).train == DataFacts(5)


DATASET = """
from verl.utils.dataset.rl_dataset import RLHFDataset

class Half(RLHFDataset):
    def _read_files_and_tokenize(self):
        super()._read_files_and_tokenize()
        self.dataframe = self.dataframe.select(range(len(self.dataframe) // 2))

class Needs(RLHFDataset):
    def _read_files_and_tokenize(self):
        self.tokenizer.encode("x")
"""


def test_files_are_opened_by_verls_dataset_class(files, tmp_path):
    """So that one of the user's own counts its own rows, and files that verl cannot put together are refused."""
    (tmp_path / "mine.py").write_text(DATASET)
    own = f"data.custom_cls.path={tmp_path / 'mine.py'}"
    given = [files("train.parquet", *[ROW] * 6), "data.val_files=null", own]
    assert inspect_files(config(*given, "data.custom_cls.name=Half")).train == DataFacts(3)
    report = inspect_files(config(*given, "data.custom_cls.name=Needs"))
    assert report.train is None
    assert "the dataset class Needs cannot be opened without a model: AttributeError" in report.absent[0]

    files("other.parquet", {"prompt": "one text", "extra_info": 5})
    with pytest.raises(ConfigError, match=r"data\.train_files: verl cannot read .*train.parquet"):
        inspect_files(config(f"data.train_files={tmp_path}/*.parquet", "data.val_files=null"))


def test_files_elsewhere_are_listed_and_the_plan_is_made_without_them(files):
    report = inspect_files(config("data.train_files=hdfs://far/away.parquet", files("val.parquet", ROW)))
    assert report.train is None and report.validation == DataFacts(1)
    assert report.absent == ["data.train_files=hdfs://far/away.parquet: not on this machine"]


def test_a_reward_for_data_that_is_not_there_is_refused(files):
    options = [files("train.parquet", ROW), files("val.parquet", ROW), *TOOL_CALLING]
    sources = "+reward.rvpo.rewards.tool_call_format.data_sources"
    with pytest.raises(ConfigError, match=r"data_sources=\['wiki'\]: no row .* there are rlla \(1\)"):
        check_data_sources(config(*options, f"{sources[1:]}=[wiki]"))
    assert check_data_sources(config(*options, f"{sources[1:]}=[rlla]")) == []
    mixed = [files("train.parquet", ROW, ROW | {"data_source": "wiki"}), *options[1:]]
    (warning,) = check_data_sources(config(*mixed, f"{sources[1:]}=[rlla]"))
    assert "no reward applies to the rows of data source wiki (1 of 2)" in warning


@pytest.mark.parametrize("name", [["-cn", "mine"], ["--config-name", "mine.yaml"], ["--config-name=mine"]])
@pytest.mark.parametrize("folder", ["-cp", "--config-path"])
def test_hydras_own_options_are_read_by_hydra(tmp_path, folder, name):
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    overrides, read, path = _hydra_arguments(main_ppo, [folder, str(tmp_path), *name, "a=2", "+b=3"])
    assert (overrides, read, path) == (["a=2", "+b=3"], "mine", tmp_path)


def test_the_configuration_is_that_of_the_launcher_unless_another_is_named():
    own = Path(main_ppo.__file__).parent / "config"
    assert _hydra_arguments(main_ppo, []) == ([], "ppo_trainer", own)
    assert _hydra_arguments(main_ppo, ["-cp", "elsewhere"])[2] == own.parent / "elsewhere"


def test_steps_of_the_fully_asynchronous_trainer_are_those_in_which_it_hands_parameters_over():
    asynchronous = config(
        "async_training.require_batches=2", "async_training.trigger_parameter_sync_step=3", "rollout.nnodes=1",
        "rollout.n_gpus_per_node=8", "rollout.total_rollout_steps=100", "data.train_batch_size=0",
        "actor_rollout_ref.hybrid_engine=false",
    )  # fmt: skip
    work = workload(asynchronous, DataFacts(500), None)
    assert (work.prompts, work.steps) == (24, 4)  # mini-batches of 4; 100 // 24
    assert rollout_gpus(asynchronous) == 8
    assert rollout_gpus(config()) == 0
    assert estimate(asynchronous, SMALL, 80).kept == 0
    with pytest.raises(ConfigError, match="trigger_parameter_sync_step=24: the training files hold only 23"):
        workload(asynchronous, DataFacts(23), None)
