"""BFCL with a policy that answers from a script: corrections of the task library, and dialogues that end."""

import pytest

pytest.importorskip(
    "inspect_evals", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from inspect_ai import eval as run_task
from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelAPI, ModelOutput, get_model
from inspect_ai.model import modelapi as register
from inspect_ai.tool import ToolCall

from rvpo_verl.evaluation import tasks
from rvpo_verl.evaluation.bfcl import literal
from rvpo_verl.evaluation.logs import Log, read_result
from rvpo_verl.evaluation.scores import UNANSWERABLE
from tests.support.evaluation_rows import write_bfcl, write_dialogues


class Scripted(ModelAPI):
    """Gives `answers[n]` as its nth answer, and the last one from then on; each is a list of calls."""

    def __init__(self, model_name, answers=(), **arguments):
        super().__init__(model_name, **arguments)
        self.answers, self.requests = answers, 0

    async def generate(self, input, tools, tool_choice, config):
        calls = self.answers[min(self.requests, len(self.answers) - 1)]
        self.requests += 1
        message = ChatMessageAssistant(
            content="" if calls else "Done.",
            tool_calls=[
                ToolCall(id=f"{self.requests}-{n}", function=name, arguments=arguments)
                for n, (name, arguments) in enumerate(calls)
            ],
        )
        reason = "tool_calls" if calls else "stop"
        return ModelOutput(model="m", choices=[ChatCompletionChoice(message=message, stop_reason=reason)])


@register(name="scripted")
def scripted():
    return Scripted


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory):
    return write_dialogues(
        tmp_path_factory.mktemp("dialogues")
    )  # one folder: inspect-evals accepts no second


@pytest.fixture
def answered(tmp_path):
    def answered(folder, categories, *answers, limit=None):
        """The samples' scores, as `rvpo-verl compare` reads them, and the number of requests."""
        model = get_model("scripted/m", answers=answers, memoize=False)
        task = tasks.bfcl(data=str(folder), categories=categories)
        (log,) = run_task(task, model=model, display="none", log_dir=str(tmp_path), limit=limit)
        assert log.status == "success", log.error
        result = read_result(Log(tmp_path / log.location, log))
        return {key[0]: scores for key, scores in result.samples.items()}, model.api.requests

    return answered


def overall(scores):
    return {key: value.groups["", "overall"] for key, value in scores.items()}


POST, TAG = ("post", {"words": ["a"]}), ("tag", {"names": ["b"]})


@pytest.mark.parametrize("category", ["multi_turn_base", "multi_turn_miss_func"])
def test_lists_that_a_service_changes_are_replayed_as_they_were(answered, dialogues, category):
    scores, _ = answered(dialogues, category, [POST], [], [TAG], [])
    assert overall(scores) == {f"{category}_0": 1.0}


def test_a_wrong_dialogue_is_wrong(answered, dialogues):
    scores, _ = answered(dialogues, "multi_turn_base", [POST], [], [])
    assert overall(scores) == {"multi_turn_base_0": 0.0}


@pytest.mark.parametrize(
    ("steps", "answers", "ends"), [(19, True, True), (20, True, True), (21, False, False)]
)
def test_a_turn_has_20_steps(answered, dialogues, steps, answers, ends):
    reads = [[("read", {})]] * steps
    scores, requests = answered(dialogues, "multi_turn_base", *reads[:-1], [POST], [], [TAG], [])
    assert (overall(scores)["multi_turn_base_0"] == 1.0) is ends
    assert requests == (steps + 3 if ends else 21)
    (sample,) = scores.values()
    assert sample.unanswered == (None if ends else "more than 20 rounds of calls in one turn")


def test_a_policy_that_never_stops_calling_ends_and_is_wrong(answered, dialogues):
    scores, requests = answered(dialogues, "multi_turn_base", [("read", {})])
    assert overall(scores) == {"multi_turn_base_0": 0.0}
    assert requests == 21


def test_the_first_rows_are_of_all_categories(tmp_path):
    task = tasks.bfcl(data=str(write_bfcl(tmp_path, 3)), categories="simple_python,irrelevance")
    of = [sample.metadata["category_name"] for sample in task.dataset]
    assert of == ["simple_python", "irrelevance"] * 3


@pytest.mark.parametrize(
    ("possible", "values"),
    [
        (1, [1]),
        ([1, 2], [[1, 2]]),
        ({"a": 1}, [{"a": 1}]),  # no lists of alternatives
        ({"a": [1]}, [{"a": 1}]),
        ({"a": [1, 2], "b": ["x", ""]}, [{"a": 1, "b": "x"}, {"a": 1}, {"a": 2, "b": "x"}, {"a": 2}]),
        ({"a": [{"b": [1, 2]}]}, [{"a": {"b": 1}}, {"a": {"b": 2}}]),
        ([{"a": [1, 2]}, {"a": [3]}], [[{"a": 1}, {"a": 3}], [{"a": 2}, {"a": 3}]]),
    ],
)
def test_a_possible_answer_stands_for_its_alternatives(possible, values):
    assert literal(possible) == values


def test_an_answer_with_a_nested_object_is_right(answered, tmp_path):
    write_bfcl(tmp_path / "rows", 2, nested=True)
    right = {"city": "Paris", "budget": {"min": 3, "max": 4}}
    scores, _ = answered(tmp_path / "rows", "simple_python", [("find_hotel", right)])
    assert 1.0 in overall(scores).values()
    scores, _ = answered(tmp_path / "rows", "simple_python", [("find_hotel", right | {"budget": {"min": 3}})])
    assert 1.0 not in overall(scores).values()


def test_a_row_that_no_answer_satisfies_is_marked(tmp_path):
    folder = write_bfcl(tmp_path, 1)
    for file in folder.rglob("*simple_python.json"):
        file.write_text(file.read_text().replace("simple_python_0", "live_simple_106-63-0"))
    (sample,) = tasks.bfcl(data=str(folder), categories="simple_python").dataset
    assert "no possible value" in sample.metadata[UNANSWERABLE]
