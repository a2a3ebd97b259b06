"""inspect's model provider `rlla/MODEL`: the policy, whose model reads and writes RLLA's format.

The server must not parse tool calls or thoughts itself: serve without `--tool-call-parser` and `--reasoning-parser`.
"""

from typing import Any
from uuid import uuid4

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    ModelCall,
    ModelOutput,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

from rvpo_verl.evaluation.policy import PolicyAPI
from rvpo_verl.evaluation.rlla_prompt import system_prompt, user_prompt
from rvpo_verl.rewards.tool_calling.parser import (
    UnparsableError,
    assistant_text,
    parse_calls,
    split_thought,
)

MAX_CALLS = 64


class RllaAPI(PolicyAPI):
    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> tuple[ModelOutput | Exception, ModelCall]:
        instructions = [message.text for message in input if message.role == "system"]
        prompt: list[ChatMessage] = [
            ChatMessageSystem(content=system_prompt(tools, instructions)),
            ChatMessageUser(content=user_prompt(input)),
        ]
        output, call = await super().generate(prompt, [], "none", config)
        if isinstance(output, ModelOutput) and not call.error:
            # The raw response, because inspect moves a thought out of the message's text.
            response: Any = call.response
            answers = sorted(response["choices"], key=lambda answer: answer["index"])
            texts = [answer["message"]["content"] or "" for answer in answers]
            output.choices = list(map(_with_calls, output.choices, texts))
        return output, call


def _with_calls(choice: ChatCompletionChoice, text: str) -> ChatCompletionChoice:
    """The choice with the whole answer as its text, thought included, as the next turn's history must show it."""
    calls = tool_calls(text)
    message = ChatMessageAssistant(
        content=text, tool_calls=calls or None, model=choice.message.model, source="generate"
    )
    stop_reason = "tool_calls" if calls else choice.stop_reason
    return choice.model_copy(update={"message": message, "stop_reason": stop_reason})


def tool_calls(text: str) -> list[ToolCall]:
    """The calls of an answer; none if any of them cannot be read."""
    try:
        calls = parse_calls(split_thought(assistant_text(text))[1], limit=MAX_CALLS)
    except UnparsableError:
        return []
    return [ToolCall(id=uuid4().hex, function=name, arguments=parameters) for name, parameters in calls]
