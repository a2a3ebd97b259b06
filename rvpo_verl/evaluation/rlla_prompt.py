"""RLLA's prompt (ToolRL, arXiv:2504.13958), in which models trained on RLLA-4k get tools and dialogue.

Verbatim the form of every row of RLLA: one system message with the tools, one user message with the dialogue so far,
which has the model's own turns as it wrote them and tool results as `<obs>`.
"""

import ast
import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from inspect_ai.model import ChatMessage, ChatMessageTool
from inspect_ai.tool import ToolInfo, ToolParams

SYSTEM = """\
You are a helpful multi-turn dialogue assistant capable of leveraging tool calls to solve user tasks and provide \
structured chat responses.

**Available Tools**
In your response, you can use the following tools:
{tools}

**Steps for Each Turn**
1. **Think:** Recall relevant context and analyze the current user goal.
2. **Decide on Tool Usage:** If a tool is needed, specify the tool and its parameters.
3. **Respond Appropriately:** If a response is needed, generate one while maintaining consistency across user queries.

**Output Format**
```plaintext
<think> Your thoughts and reasoning </think>
<tool_call>
{{"name": "Tool name", "parameters": {{"Parameter name": "Parameter content", "... ...": "... ..."}}}}
{{"name": "... ...", "parameters": {{"... ...": "... ...", "... ...": "... ..."}}}}
...
</tool_call>
<response> AI's final response </response>
```

**Important Notes**
1. You must always include the `<think>` field to outline your reasoning. Provide at least one of `<tool_call>` or \
`<response>`. Decide whether to use `<tool_call>` (possibly multiple times), `<response>`, or both.
2. You can invoke multiple tool calls simultaneously in the `<tool_call>` fields. Each tool call should be a JSON \
object with a "name" field and an "parameters" field containing a dictionary of parameters. If no parameters are \
needed, leave the "parameters" field an empty dictionary.
3. Refer to the previous dialogue records in the history, including the user's queries, previous `<tool_call>`, \
`<response>`, and any tool feedback noted as `<obs>` (if exists)."""
HISTORY = "**Dialogue Records History**"


def system_prompt(tools: Sequence[ToolInfo], instructions: Iterable[str] = ()) -> str:
    """
    Args:
        instructions: system messages of the task, which RLLA does not have; they follow RLLA's.
    """
    listed = "\n".join(
        f"{number}. Name: {tool.name}\nDescription: {tool.description}\n"
        f"Parameters: {json.dumps(_parameters(tool.parameters), ensure_ascii=False)}"
        for number, tool in enumerate(tools, start=1)
    )
    return "\n\n".join([SYSTEM.format(tools=listed), *instructions])


def _parameters(parameters: ToolParams) -> dict[str, object]:
    """Description, type and default ("" if there is none) of each, then the rest of its schema."""
    described: dict[str, object] = {}
    for name, parameter in parameters.properties.items():
        schema = parameter.model_dump(exclude_none=True)
        kind = schema.pop("type", "any")
        kind = kind if isinstance(kind, str) else " or ".join(kind)
        described[name] = {
            "description": schema.pop("description", ""),
            "type": kind if name in parameters.required else f"{kind}, optional",
            "default": schema.pop("default", ""),
            **schema,
        }
    return described


def user_prompt(messages: Sequence[ChatMessage]) -> str:
    """The dialogue: the user's turns, and the model's answers, each followed by the results of its calls."""
    turns: list[str] = []
    for role, group in groupby(messages, key=lambda message: message.role):
        if role == "tool":
            of_calls = [_result(message) for message in group if isinstance(message, ChatMessageTool)]
            results = json.dumps(of_calls, ensure_ascii=False)
            turns[-1:] = ["\n".join([*turns[-1:], f"<obs> {results} </obs>"])]
        elif role == "user":
            turns += [f"<user> {message.text.strip()} </user>" for message in group]
        elif role == "assistant":
            turns += [message.text.strip() for message in group]
    return f"{HISTORY}\n" + "\n\n".join(turns)


def _result(message: ChatMessageTool) -> dict[str, object]:
    if message.error is not None:
        return {"name": message.function, "results": {"error": message.error.message}}
    return {"name": message.function, "results": _as_json(message.text)}


def _as_json(text: str) -> object:
    """The result of a tool, which inspect writes as JSON or as Python; the text if it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
            json.dumps(value)
            return value
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return text
