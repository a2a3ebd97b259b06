import pytest

pytest.importorskip(
    "inspect_ai", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)
pytest.importorskip("openai")

from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant

from rvpo_verl.evaluation.rlla import RllaAPI, _with_calls, tool_calls

TWO = """<think> Both, as in <tool_call>nothing</tool_call>. </think>
<tool_call>
{"name": "f", "parameters": {"x": 1}}
{"name": "g", "parameters": {}}
</tool_call>"""


def test_calls_of_an_answer_become_inspects_calls():
    assert [(call.function, call.arguments) for call in tool_calls(TWO)] == [("f", {"x": 1}), ("g", {})]
    assert len({call.id for call in tool_calls(TWO)}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no tags",
        "<think> Not needed. </think>\n<response> Hello. </response>",
        '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {"x": \n</tool_call>',
        '<think> t </think>\n<tool_call>\n{"name": "f", "parameters": {}}',
        '<think> only thought of <tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>',
        "<tool_call>" * 100_000,
    ],
)
def test_what_is_no_call_gives_none_and_the_text_is_kept(text):
    given = ChatCompletionChoice(message=ChatMessageAssistant(content="", model="m"), stop_reason="stop")
    choice = _with_calls(given, text)
    assert choice.message.text == text
    assert choice.message.tool_calls is None
    assert choice.stop_reason == "stop"


def test_an_answer_with_calls_is_kept_whole_so_that_the_history_shows_its_thought():
    given = ChatCompletionChoice(message=ChatMessageAssistant(content="", model="m"), stop_reason="stop")
    choice = _with_calls(given, TWO)
    assert choice.message.text == TWO
    assert len(choice.message.tool_calls) == 2
    assert choice.stop_reason == "tool_calls"


def test_the_model_is_asked_for_by_the_name_it_is_served_under(monkeypatch):
    monkeypatch.setenv("POLICY_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("POLICY_API_KEY", "secret")
    api = RllaAPI("/runs/policy/step_100")
    assert api.endpoint.service_model_name() == "/runs/policy/step_100"
    assert (api.endpoint.base_url, api.endpoint.api_key) == ("http://127.0.0.1:9/v1", "secret")
