import subprocess
import sys

import pytest

pytest.importorskip("openai")

from rvpo_verl.evaluation.preflight import check
from tests.support.scripted_judge import scripted_judge


@pytest.fixture(scope="module")
def endpoint():
    with scripted_judge(model="served") as server:
        yield server.base_url


def test_models_are_found_where_one_is_served(endpoint):
    both = {"POLICY_BASE_URL": endpoint, "JUDGE_BASE_URL": endpoint}
    assert check(["gpqa_diamond", "healthbench_hard"], both) == ("served", "served")
    assert check(["gpqa_diamond", "bfcl"], {"POLICY_BASE_URL": endpoint}) == ("served", None)


@pytest.mark.parametrize(
    "tasks, environment, message",
    [
        (["gpqa"], {}, r"\['gpqa'\]; expected some of healthbench .* bfcl"),
        ([], {}, "no task; expected some of"),
        (["bfcl"], {}, "POLICY_BASE_URL is not set"),
        (["healthbench"], {"POLICY_BASE_URL": "ENDPOINT"}, "healthbench: JUDGE_BASE_URL is not set"),
        (
            ["bfcl"],
            {"POLICY_BASE_URL": "http://127.0.0.1:9/v1"},
            "APIConnectionError.*asked for its models.*/v1",
        ),
        (["bfcl"], {"POLICY_BASE_URL": "ENDPOINT", "POLICY_MODEL": "x"}, "POLICY_MODEL=x: .* serves served"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_first_sample(endpoint, tasks, environment, message):
    environment = {name: value.replace("ENDPOINT", endpoint) for name, value in environment.items()}
    with pytest.raises(ValueError, match=message):
        check(tasks, environment)


def test_a_key_that_is_not_accepted_and_a_model_that_does_not_answer_are_refused():
    with scripted_judge(model="served", key="right") as server:
        wrong = {"POLICY_BASE_URL": server.base_url, "POLICY_API_KEY": "wrong"}
        with pytest.raises(ValueError, match=r"AuthenticationError.*POLICY_API_KEY"):
            check(["bfcl"], wrong)
        server.tell(status=400)
        with pytest.raises(ValueError, match=r"BadRequestError.*chat model"):
            check(["bfcl"], wrong | {"POLICY_API_KEY": "right"})


def test_the_command_prints_one_message_and_no_traceback():
    command = [sys.executable, "-m", "rvpo_verl.cli.preflight", "nothing"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "expected some of" in run.stderr
    assert "Traceback" not in run.stderr
