"""inspect's model provider `rlla/MODEL`: a chat endpoint that is asked, and answers, in RLLA's format.

The endpoint is given by POLICY_BASE_URL and POLICY_API_KEY, as for `openai-api/policy/MODEL`. It must not parse
tool calls or thoughts itself: serve it without `--tool-call-parser` and `--reasoning-parser`.
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

# The one class of inspect's providers that is made to be extended is not exported.
from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo
from openai.types.chat import ChatCompletion

from rvpo_verl.evaluation.rlla_prompt import system_prompt, user_prompt
from rvpo_verl.rewards.tool_call_parser import (
    UnparsableError,
    assistant_text,
    parse_calls,
    split_thought,
)

SERVICE = "policy"
MAX_CALLS = 64


class RllaAPI(OpenAICompatibleAPI):
    def __init__(self, model_name: str, **arguments: Any) -> None:
        super().__init__(model_name=model_name, service=SERVICE, **arguments)

    def service_model_name(self) -> str:
        return self.model_name

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput | tuple[ModelOutput | Exception, ModelCall]:
        instructions = [message.text for message in input if message.role == "system"]
        prompt: list[ChatMessage] = [
            ChatMessageSystem(content=system_prompt(tools, instructions)),
            ChatMessageUser(content=user_prompt(input)),
        ]
        return await super().generate(prompt, [], "none", config)

    def chat_choices_from_completion(
        self, completion: ChatCompletion, tools: list[ToolInfo]
    ) -> list[ChatCompletionChoice]:
        choices = super().chat_choices_from_completion(completion, tools)
        given = sorted(completion.choices, key=lambda choice: choice.index)
        return [
            _with_calls(choice, one.message.content or "") for choice, one in zip(choices, given, strict=True)
        ]


def _with_calls(choice: ChatCompletionChoice, text: str) -> ChatCompletionChoice:
    """The choice with the whole answer as its text, thought included: the next turn's history shows it so."""
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
    return [ToolCall(id=uuid4().hex, function=call.name, arguments=call.parameters) for call in calls]
