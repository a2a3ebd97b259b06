"""`rvpo-verl judge check` and `agreement` on the command line."""

import json

import pytest
from typer.testing import CliRunner

from rvpo_verl.cli import app
from rvpo_verl.judge import prompt
from rvpo_verl.judge.agreement import macro_f1
from rvpo_verl.rubric import Criterion
from tests.support.scripted_judge import scripted_judge, verdict_of


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["judge", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def test_check_reports_rate_and_cost(server):
    size = [
        "--prompts",
        10,
        "--rollouts",
        2,
        "--criteria",
        3,
        "--steps",
        100,
        "--price-in",
        1,
        "--price-out",
        4,
    ]
    (found,) = json.loads(run("check", "--base-url", server.base_url, "--json", "--responses", 8, *size))
    assert found["usable"] is True
    assert found["form"] == "schema"
    assert found["failures"] == {}
    assert len(server.log()) == 1 + 4 + 8 * 3, "the first one asks for the form"
    calls = 10 * 2 * 3 * 100
    assert found["cost"] == pytest.approx(calls * (found["tokens_in"] + 4 * found["tokens_out"]) / 1e6)
    assert found["seconds_per_step"] == pytest.approx(60 / found["verdicts_per_second"])
    assert "verdicts are requested as a JSON schema" in " ".join(
        run("check", "--base-url", server.base_url, "--responses", 1).split()
    )


def test_check_reports_the_form_that_a_server_accepts(server):
    server.tell(accepts_schema=False)
    (found,) = json.loads(run("check", "--base-url", server.base_url, "--json", "--responses", 1))
    assert found["form"] not in ("schema", None)
    assert found["usable"] is True
    shown = " ".join(run("check", "--base-url", server.base_url, "--responses", 1).split())
    assert "verdicts are requested as" in shown and "a JSON schema" not in shown


def test_failed_calls_do_not_lower_the_mean_tokens_of_a_call():
    with scripted_judge() as server:
        (healthy,) = json.loads(run("check", "--base-url", server.base_url, "--json", "--responses", 8))
    with scripted_judge(faults={"server_error": 0.5}) as server:
        few = ["--settings", '{"attempts": 1, "output": "schema"}', "--responses", 8]
        (failing,) = json.loads(run("check", "--base-url", server.base_url, "--json", *few))
    assert failing["failures"]
    assert failing["tokens_in"] == pytest.approx(healthy["tokens_in"], rel=0.01)


def test_check_of_a_judge_that_is_down_fails_with_its_response(server):
    server.tell(status=503)
    output = run("check", "--base-url", server.base_url, "--settings", '{"attempts": 1}', code=1)
    assert "HTTP 503" in output


@pytest.mark.parametrize("settings", ["{", "[]", '{"limt": 1}'])
def test_invalid_settings_are_a_message(server, settings):
    run("check", "--base-url", server.base_url, "--settings", settings, code=2)


def labelled(tmp_path, rows):
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_agreement_compares_with_labels_by_category(server, tmp_path):
    rows, right = [], {"a": 0, "b": 0}
    for number in range(20):
        category = "ab"[number % 2]
        text = prompt.subject(None, f"answer {number}", 32_000)
        truth = verdict_of(text + prompt.question({"1": Criterion(criterion="Is short")}), "1")
        label = int(truth) if category == "a" else 1
        right[category] += label == truth
        rows.append(
            {"response": f"answer {number}", "criterion": "Is short", "label": label, "category": category}
        )
    found = json.loads(run("agreement", labelled(tmp_path, rows), "--base-url", server.base_url, "--json"))
    assert found["a"]["accuracy"] == found["a"]["macro_f1"] == 1.0
    assert 0 < found["b"]["accuracy"] == right["b"] / 10 < 1
    assert found["all"] == found["all"] | {"verdicts": 20, "missing": 0, "accuracy": (10 + right["b"]) / 20}
    assert found["all"]["self_agreement"] is None


def test_agreement_with_itself_over_votes(server, tmp_path):
    file = labelled(tmp_path, [{"response": "a", "criterion": "Is short", "label": 1}])
    settings = '{"votes": 3, "temperature": 1}'
    shown = run("agreement", file, "--base-url", server.base_url, "--settings", settings, "--json")
    assert json.loads(shown)["all"]["self_agreement"] == 1.0
    assert "self-agreement" in run("agreement", file, "--base-url", server.base_url)


def test_failed_verdicts_are_in_no_figure(server, tmp_path):
    server.tell(reply="no verdict")
    file = labelled(tmp_path, [{"response": "a", "criterion": "Is short", "label": 1}])
    settings = '{"attempts": 1}'
    found = json.loads(
        run("agreement", file, "--base-url", server.base_url, "--settings", settings, "--json")
    )
    assert found["all"] == found["all"] | {"verdicts": 1, "missing": 1, "accuracy": None, "macro_f1": None}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": "a", "label": 1}, "row 1, criterion: Field required"),
        ({"response": "a", "criterion": "c", "label": 2}, "row 1, label: 2 is above levels=1"),
    ],
)
def test_an_invalid_label_is_reported_with_row_and_field(server, tmp_path, row, message):
    result = run("agreement", labelled(tmp_path, [row]), "--base-url", server.base_url, code=2)
    assert message in result


def test_macro_f1_by_hand():
    # Label 1: precision 1/2, recall 1/1, F1 2/3. Label 0: precision 2/2, recall 2/3, F1 4/5.
    assert macro_f1([1, 0, 0, 0], [1, 1, 0, 0]) == pytest.approx((2 / 3 + 4 / 5) / 2)
