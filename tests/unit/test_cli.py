import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.rewards.files import BATCH_SIZE

ANSWER = "<think> x </think>\n<tool_call>\n{}\n</tool_call>"
TRUTH = ANSWER.format('{"name": "add", "parameters": {"a": 1}}')
COMMAND = [sys.executable, "-c", "from rvpo_verl.cli import app; app()"]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def lines(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
        return file

    return write


# --- rewards --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("rewards",), ("rewards", "list")])
def test_rewards_are_listed_with_origin_and_arguments(command):
    result = invoke(*command)
    assert result.exit_code == 0
    text = "".join(result.stdout.split())
    for part in (
        "tool_call_format",
        f"rvpo-verl{version('rvpo-verl')}",
        "must_match=True",
        "reward_router_address",
    ):
        assert part.replace(" ", "") in text


@pytest.mark.parametrize("mode", [(), ("--mode", "strict"), ("--mode", "robust")])
def test_a_file_is_scored_row_by_row(write, mode):
    file = write(
        {"response": TRUTH, "ground_truth": TRUTH, "data_source": None, "id": 1},
        "\n",
        {"response": "\ud800 \x00", "ground_truth": TRUTH},
    )
    assert lines(invoke("rewards", "score", "tool_call_correctness", "--data", file, *mode)) == [
        {"tool_call_correctness": 3.0},
        {"tool_call_correctness": -3.0},
    ]


def test_parquet_and_jsonl_give_the_same(write, tmp_path):
    rows = [
        {
            "response": "a" * (index % 3),
            "ground_truth": "a",
            "data_source": "letters",
            "extra_info": {"index": index, "tags": ["x"]},
            "messages": [{"role": "user", "content": "?"}],
        }
        for index in range(600)
    ]
    (tmp_path / "my.py").write_text(
        "def all(response, ground_truth, data_source, extra_info, messages, scale=1):\n"
        "    print('noise')\n"
        "    assert (data_source, messages[0]['content'], extra_info['tags']) == ('letters', '?', ['x'])\n"
        "    return {'same': response == ground_truth, 'index': extra_info['index'] * scale}\n"
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    expected = [{"all/same": float(index % 3 == 1), "all/index": 2.0 * index} for index in range(600)]
    for file in (write(*rows), tmp_path / "rows.parquet"):
        result = invoke(
            "rewards", "score", f"{tmp_path}/my.py:all", "--data", file, "--kwargs", '{"scale": 2}'
        )
        assert lines(result) == expected
        assert result.stderr.count("noise") == 600


def test_a_reward_that_fails_is_null_and_says_why(write, tmp_path):
    (tmp_path / "my.py").write_text("def reward(response): return 1 / len(response)\n")
    file = write(*({"response": text, "ground_truth": ""} for text in ("ab", "", "abcd")))
    result = invoke("rewards", "score", f"{tmp_path}/my.py:reward", "--data", file)
    assert lines(result) == [{"reward": 0.5}, {"reward": None}, {"reward": 0.25}]
    assert "response 2: reward failed: ZeroDivisionError" in result.stderr


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": "x"}, "row 2: no field 'ground_truth'; there are: response"),
        ({"answer": "x", "ground_truth": "x"}, "row 2: no field 'response'; there are: answer, ground_truth"),
        ({"response": None, "ground_truth": "x"}, "row 2: field 'response' is null"),
        ({"response": ["x"], "ground_truth": "x"}, "row 2: field 'response' holds a list; expected a str"),
        ({"response": "x", "ground_truth": "x", "messages": "hi"}, "row 2: field 'messages' holds a str"),
        (["x"], "row 2: expected an object with response, ground_truth"),
        ("{'response': 1}\n", "row 2: not JSON"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named_with_its_field(write, row, message):
    result = invoke(
        "rewards",
        "score",
        "tool_call_format",
        "--data",
        write({"response": TRUTH, "ground_truth": TRUTH}, row),
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tool_cal_format",), "did you mean 'tool_call_format'?"),
        (("length", "--kwargs", '{"max_length": 9, "buffer": 1}'), "'response_ids' is not available here"),
        (
            ("regex", "--kwargs", '{"pattern": "x"}', "--mode", "strict"),
            "mode='strict': it takes no such argument",
        ),
        (("regex", "--kwargs", "pattern"), "--kwargs 'pattern' is not JSON"),
        (("regex", "--kwargs", "[]"), "expected a JSON object"),
        (("tool_call_format", "--mode", "lax"), "'lax'"),
        (("no_such_module:f",), "No module named 'no_such_module'"),
    ],
)
def test_a_reward_that_cannot_be_called_is_one_message(write, arguments, message):
    result = invoke("rewards", "score", *arguments, "--data", write())
    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_file_that_is_neither_jsonl_nor_parquet_is_refused(tmp_path, name):
    (tmp_path / name).write_text("response,ground_truth\n")
    result = invoke("rewards", "score", "tool_call_format", "--data", tmp_path / name)
    assert result.exit_code == 2
    assert name in result.stderr


# --- a third party's rewards ----------------------------------------------------------------------------


def install(folder, target, name="toy-rewards"):
    source = target.with_name(f"{name}-source")
    shutil.copytree(folder, source)  # building leaves files behind
    settings = source / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"toy-rewards"', f'"{name}"'))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--target", target, source], check=True, capture_output=True, timeout=100)


def run(paths, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=100
    )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    target = tmp_path_factory.mktemp("toy") / "site"
    install(Path(__file__).parent / "toy_extension", target)
    return target


def test_an_installed_extension_is_listed_with_its_errors(toy):
    done = run([toy], "rewards")
    assert done.returncode == 0, done.stderr
    text = "".join(done.stdout.split())
    assert "toy-rewards0.3.0,toy_rewards:politeness" in text
    assert "response,*,word='please'1iftheresponsesaysplease." in text
    assert "hasno'no_such_function'" in text


def test_an_installed_extension_scores_and_stdout_is_nothing_but_json(toy, write):
    file = write(*({"response": text, "ground_truth": ""} for text in ("please", "now")))
    done = run([toy], "rewards", "score", "politeness", "--data", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"politeness": 1.0}\n{"politeness": 0.0}\n'
    assert "scoring please" in done.stderr


def test_a_reward_of_two_distributions_names_both(toy, write, tmp_path):
    install(Path(__file__).parent / "toy_extension", tmp_path / "site", "more-toy-rewards")
    done = run([toy, tmp_path / "site"], "rewards", "score", "politeness", "--data", write())
    assert done.returncode == 2
    assert "more-toy-rewards 0.3.0 (toy_rewards:politeness) and toy-rewards 0.3.0" in done.stderr
    assert "Traceback" not in done.stderr


def from_shell(folder, *arguments):
    """As the installed command runs: without the current directory among the places of modules."""
    return subprocess.run(
        [sys.executable, "-I", *COMMAND[1:], *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def test_a_reward_that_runs_an_answer_which_exits_takes_no_row_with_it(write, tmp_path):
    (tmp_path / "my.py").write_text("def runs(response):\n    exec(response, {})\n    return 1.0\n")
    file = write(
        *({"response": text, "ground_truth": ""} for text in ("1", "exit()", "import os", "raise KeyError"))
    )
    done = from_shell(tmp_path, "rewards", "score", "my.py:runs", "--data", file)
    assert done.returncode == 0, done.stderr
    scores = [json.loads(line)["runs"] for line in done.stdout.splitlines()]
    assert scores == [1.0, None, 1.0, None]
    assert "response 2: runs failed: SystemExit" in done.stderr


def test_objects_of_asyncio_that_a_module_keeps_last_for_the_whole_file(write, tmp_path):
    (tmp_path / "my.py").write_text(
        "import asyncio\n"
        "limit = asyncio.Semaphore(4)\n"
        "async def limited(response):\n"
        "    async with limit:\n"
        "        await asyncio.sleep(0)\n"
        "        return 1.0\n"
    )
    rows = write(*[{"response": "", "ground_truth": ""}] * (2 * BATCH_SIZE + 1))
    done = from_shell(tmp_path, "rewards", "score", "my:limited", "--data", rows)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '{"limited": 1.0}\n' * (2 * BATCH_SIZE + 1)


def test_a_module_is_found_in_the_current_directory_and_otherwise_it_is_said_where_it_was_looked_for(
    write, tmp_path
):
    """As `python -m verl...` finds it, so that a reward of one command is a reward of all."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my.py").write_text("def one(response):\n    return 1.0\n")
    file = write({"response": "", "ground_truth": ""})
    score = ("rewards", "score", "my:one", "--data", file)
    assert from_shell(tmp_path / "mine", *score).stdout == '{"one": 1.0}\n'
    absent = from_shell(tmp_path, *score)
    assert absent.returncode == 2
    assert f"in the current directory, {tmp_path}" in " ".join(absent.stderr.split())


# --- doctor, plot, demo ---------------------------------------------------------------------------------


def test_doctor_shows_versions_attachments_and_rewards():
    result = invoke("doctor")
    assert result.exit_code == 0, result.stderr
    text = "".join(result.stdout.split())
    for part in (version("verl"), "verl.trainer.ppo.v1.trainer_base", "tool_call_format", "canworkhere"):
        assert part in text
    assert "cannotbeimported" not in text


def test_doctor_says_why_training_cannot_work(monkeypatch):
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "none")
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "export VERL_USE_EXTERNAL_MODULES=rvpo_verl" in result.stderr
    monkeypatch.setenv("VERL_USE_EXTERNAL_MODULES", "rvpo_verl")
    assert invoke("doctor").exit_code == 0


def test_plot_draws_and_says_what_is_wrong_with_a_log(tmp_path):
    log = tmp_path / "run.jsonl"
    log.write_text('{"step": 1, "data": {"rvpo/a/mean": 1, "rvpo/k": 2}}\n')
    assert invoke("plot", log, log, "--out", tmp_path / "x.png").exit_code == 0
    assert (tmp_path / "x.png").exists()
    log.write_text('{"step": 1, "data": {"actor/lr": 1}}\n')
    result = invoke("plot", log, "--out", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "found: actor/lr" in result.stderr


def test_demo_passes_its_options_on(monkeypatch, tmp_path):
    from rvpo_verl.cpu import demo
    from rvpo_verl.cpu.launch import LauncherError

    given = {}

    def stop(**options):
        given.update(options)
        raise LauncherError("no training in this test")

    monkeypatch.setattr(demo, "run_demo", stop)
    result = invoke("demo", "--estimator", "gdpo", "--steps", 3, "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert "no training in this test" in result.stderr
    assert callable(given.pop("message")) and callable(given.pop("progress"))
    assert given == {
        "estimator": "gdpo", "aggregation": None, "steps": 3, "seed": 0, "ranks": 1, "data": None,
        "out": tmp_path / "x",
    }  # fmt: skip


# --- errors and start-up ----------------------------------------------------------------------------------


def test_the_error_of_a_user_is_one_message_and_a_bug_is_a_traceback(monkeypatch):
    from rvpo_verl.cpu import demo

    result = invoke("demo", "--estimator", "ppo")
    assert result.exit_code == 2
    assert "accepted: rvpo" in result.stderr

    def buggy(**options):
        raise ValueError("not for users")

    monkeypatch.setattr(demo, "run_demo", buggy)
    result = invoke("demo")
    assert isinstance(result.exception, ValueError)
    assert "not for users" not in result.stderr


def test_the_help_needs_neither_torch_nor_verl():
    code = (
        "import sys\n"
        "from rvpo_verl.cli import app\n"
        "try:\n    app(['--help'])\n"
        "finally:\n    assert not {'torch', 'verl', 'transformers', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    for command in ("doctor", "rewards", "plan", "demo", "best", "plot", "compare", "data", "judge"):
        assert command in done.stdout


def test_plan_prints_what_a_launch_would_do(tmp_path):
    row = {
        "prompt": [{"role": "user", "content": "?"}],
        "data_source": "rlla",
        "reward_model": {"ground_truth": "x"},
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row] * 9), tmp_path / "rows.parquet")
    overrides = [
        "+rvpo=tool_calling", f"data.train_files={tmp_path}/rows.parquet", f"data.val_files={tmp_path}/rows.parquet",
        "data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.actor.use_dynamic_bsz=True", "actor_rollout_ref.rollout.n=4",
        "actor_rollout_ref.model.path=Qwen/Qwen2.5-7B", "trainer.n_gpus_per_node=1", "trainer.total_epochs=2",
        "trainer.save_freq=2", "trainer.test_freq=-1", "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
    ]  # fmt: skip
    result = invoke("plan", *overrides)
    assert result.exit_code == 0, result.stderr
    shown = " ".join(result.stdout.split())
    for part in (
        "rvpo, aggregation softmin, k 1.0",
        "rewards tool_call_format (1), tool_call_correctness (1)",
        "steps 4 (2 an epoch",
        "4 prompts x 4 = 16 rollouts, optimizer updates: 1",
        "checkpoints 2 in",
        "7.62 billion parameters",
    ):
        assert part in shown
    assert "Warning: training needs about" in result.stderr  # 16 bytes of 7.6 billion parameters on one GPU

    result = invoke("plan", *overrides, "data.train_batch_size=400")
    assert result.exit_code == 2
    assert "the training files hold only 9 rows" in result.stderr
