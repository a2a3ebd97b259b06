import json

import pytest

from rvpo_verl.errors import UserError
from rvpo_verl.report.logs import labels
from rvpo_verl.report.plot import _read, plot


def write(path, *steps):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"step": step, "data": data}) + "\n" for step, data in steps))
    return path


@pytest.fixture
def log(tmp_path):
    return write(
        tmp_path / "run.jsonl",
        (
            0,
            {
                "val-aux/rlla/format/mean@1": 0.25,
                "val-aux/a/b/format/mean@4": 0.5,
                "val-core/rlla/reward/mean@1": 1,
            },
        ),
        (
            1,
            {"rvpo/format/mean": 0.5, "rvpo/format/std": 0.1, "rvpo/k": 2.0, "rvpo/constant_groups/share": 0},
        ),
        (2, {"rvpo/format/mean": None, "rvpo/k": 2.0, "actor/lr": 1e-6}),
        (2, {"val-aux/rlla/format/mean@1": 0.75}),
        (3, {"rvpo/format/mean": 0.75, "rvpo/k": 2.0}),
    )


def test_curves_are_what_was_logged(log):
    run = _read(log, "run")
    assert run.trained == {"format": [(1, 0.5), (3, 0.75)]}
    assert run.validated == {"format": {"rlla": [(0, 0.25), (2, 0.75)], "a/b": [(0, 0.5)]}}
    assert run.k == [(1, 2.0), (2, 2.0), (3, 2.0)]
    assert run.constant == [(1, 0)]


def test_runs_without_k_and_with_other_rewards_share_one_png(log, tmp_path):
    other = write(
        tmp_path / "gdpo" / "run.jsonl", (1, {"rvpo/length/mean": -0.5}), (2, {"rvpo/length/mean": -0.1})
    )
    validated = write(tmp_path / "grpo" / "run.jsonl", (1, {"val-aux/rlla/format/mean@1": 0.5}))
    out = tmp_path / "rewards.png"
    plot([log, other, validated], out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 10_000


def test_plotting_touches_no_global_state(log, tmp_path):
    import subprocess
    import sys

    code = (
        "import importlib.util, pathlib, sys; importlib.util.find_spec = lambda name, *_: None\n"
        "from rvpo_verl.report.plot import plot\n"
        f"plot([pathlib.Path({str(log)!r})], {str(tmp_path / 'x.png')!r}); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False"], done.stderr


def test_runs_are_told_apart_by_as_much_of_their_path_as_it_takes(tmp_path):
    assert labels([tmp_path / "rvpo.jsonl", tmp_path / "gdpo.v2.jsonl"]) == ["rvpo", "gdpo.v2"]
    assert labels([tmp_path / "a" / "log.jsonl", tmp_path / "b" / "log.jsonl"]) == ["a/log", "b/log"]
    assert labels([tmp_path / "a.jsonl"] * 2) == ["a", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no steps in it; expected a JSONL file of verl's file logger"),
        (
            '{"step": 1, "data": {"actor/lr": 1, "critic/score/mean": 2}}',
            "found: actor/lr, critic/score/mean",
        ),
        ('{"step": 1, "data": {"rvpo/k": 1}}\n{"step": 2', "row 2: not JSON"),
        ('{"response": "x"}', "row 1: KeyError: 'step'; expected"),
        ("[1]", "row 1: TypeError"),
    ],
)
def test_a_file_without_metrics_of_rvpo_says_what_was_found(tmp_path, text, message):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(UserError) as error:
        plot([tmp_path / "log.jsonl"], tmp_path / "x.png")
    assert message in str(error.value)
    assert "log.jsonl" in str(error.value)
