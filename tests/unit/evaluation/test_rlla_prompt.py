import json
import re

import pytest

from tests.support.paths import SHARED_DATA

pytest.importorskip(
    "inspect_ai", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)

from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser
from inspect_ai.tool import ToolCallError, ToolInfo, ToolParams
from inspect_ai.util import JSONSchema

from rvpo_verl.data.rlla import read_rlla
from rvpo_verl.evaluation.rlla_prompt import system_prompt, user_prompt

DATA = SHARED_DATA / "rlla"
needs_rlla = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")
ANSWER = '<think> Look. </think>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>'


def tools_of(system):
    """inspect's tools for those of a row, None where a type of theirs is none of JSON's."""
    tools = []
    listed = re.findall(
        r"^\d+\. Name: (.*)\nDescription: ([\s\S]*?)\nParameters: (.*)$", system, re.MULTILINE
    )
    for name, description, parameters in listed:
        properties, required = {}, []
        for parameter, schema in json.loads(parameters).items():
            kind = str(schema["type"]).removesuffix(", optional")
            if kind not in ("string", "integer", "number", "boolean", "array", "object"):
                return None
            properties[parameter] = JSONSchema(**{**schema, "type": kind})
            required += [parameter] if kind == schema["type"] else []
        tool = ToolParams(properties=properties, required=required)
        tools.append(ToolInfo(name=name, description=description, parameters=tool))
    return tools


def messages_of(user):
    """inspect's messages for the dialogue of a row."""
    messages = []
    for turn in re.split(r"\n\n(?=<user>|<think>)", user.partition("\n")[2]):
        answer, observed, results = turn.partition("\n<obs> ")
        if turn.startswith("<user>"):
            messages.append(ChatMessageUser(content=turn[len("<user> ") : -len(" </user>")]))
        else:
            messages.append(ChatMessageAssistant(content=answer))
        for result in json.loads(results.removesuffix(" </obs>")) if observed else ():
            text = json.dumps(result["results"])
            messages.append(ChatMessageTool(content=text, function=result["name"]))
    return messages


@needs_rlla
@pytest.mark.parametrize("file, fewest", [("test.parquet", 14), ("raw.jsonl", 59)])
def test_the_system_prompt_is_rllas_word_for_word(file, fewest):
    compared = 0
    for row in read_rlla(DATA / file):
        system = row["prompt"][0]["content"]
        if (tools := tools_of(system)) is not None:
            assert system_prompt(tools) == system
            compared += 1
    assert compared >= fewest


@needs_rlla
def test_the_dialogue_is_rllas_word_for_word_with_answers_and_results():
    rows = [row["prompt"][1]["content"] for row in read_rlla(DATA / "test.parquet")]
    with_results = [user for user in rows if "<obs>" in user]
    assert len(with_results) == 7
    for user in rows:
        assert user_prompt(messages_of(user)) == user


def test_a_tool_is_described_by_description_type_and_default():
    parameters = ToolParams(
        properties={
            "city": JSONSchema(type="string", description="Where."),
            "days": JSONSchema(type="integer", description="How many.", default=3),
            "units": JSONSchema(type="string", enum=["C", "F"]),
        },
        required=["city", "units"],
    )
    prompt = system_prompt(
        [ToolInfo(name="weather", description="Tells it.", parameters=parameters)], ["Be kind."]
    )
    assert (
        '1. Name: weather\nDescription: Tells it.\nParameters: {"city": {"description": "Where.", "type": "string", '
        '"default": ""}, "days": {"description": "How many.", "type": "integer, optional", "default": 3}, "units": '
        '{"description": "", "type": "string", "default": "", "enum": ["C", "F"]}}\n\n**Steps'
    ) in prompt
    assert prompt.endswith("noted as `<obs>` (if exists).\n\nBe kind.")


def test_results_stand_under_the_answer_whose_calls_they_are_of():
    error = ToolCallError(type="timeout", message="too slow")
    prompt = user_prompt(
        [
            ChatMessageUser(content="Go."),
            ChatMessageAssistant(content=ANSWER),
            ChatMessageTool(content='{"é": 1}', function="f"),
            ChatMessageTool(content="{'a': None, 'b': [True]}", function="f"),
            ChatMessageTool(content="plain", function="g"),
            ChatMessageTool(content="{1, 2}", function="g"),
            ChatMessageTool(content="", function="h", error=error),
            ChatMessageUser(content="And?"),
        ]
    )
    assert prompt == (
        f"**Dialogue Records History**\n<user> Go. </user>\n\n{ANSWER}\n"
        '<obs> [{"name": "f", "results": {"é": 1}}, {"name": "f", "results": {"a": null, "b": [true]}}, '
        '{"name": "g", "results": "plain"}, {"name": "g", "results": "{1, 2}"}, '
        '{"name": "h", "results": {"error": "too slow"}}] </obs>\n\n<user> And? </user>'
    )
