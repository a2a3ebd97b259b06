"""inspect's model provider `rlla/MODEL`: a chat endpoint whose model reads and writes RLLA's format.

It wraps `openai-api/policy/MODEL`, whose endpoint POLICY_BASE_URL and POLICY_API_KEY give. The server must not parse
tool calls or thoughts itself: serve without `--tool-call-parser` and `--reasoning-parser`.
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
    ModelAPI,
    ModelCall,
    ModelOutput,
    RetryDecision,
    get_model,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

from rvpo_verl.evaluation.rlla_prompt import system_prompt, user_prompt
from rvpo_verl.rewards.tool_calling.parser import (
    UnparsableError,
    assistant_text,
    parse_calls,
    split_thought,
)

ENDPOINT = "openai-api/policy"
MAX_CALLS = 64


class RllaAPI(ModelAPI):
    """Everything but the format is the wrapped provider's: connection, retries, credentials."""

    def __init__(self, model_name: str, **arguments: Any) -> None:
        self.endpoint = get_model(f"{ENDPOINT}/{model_name}", memoize=False, **arguments).api
        super().__init__(model_name, self.endpoint.base_url, self.endpoint.api_key)

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
        output, call = await self.endpoint.generate(prompt, [], "none", config)
        if isinstance(output, ModelOutput) and not call.error:
            # The raw response, because inspect moves a thought out of the message's text.
            answers = sorted(call.response["choices"], key=lambda answer: answer["index"])
            texts = [answer["message"]["content"] or "" for answer in answers]
            output.choices = list(map(_with_calls, output.choices, texts))
        return output, call

    def connection_key(self) -> str:
        return self.endpoint.connection_key()

    def should_retry(self, ex: Exception) -> bool | RetryDecision:
        return self.endpoint.should_retry(ex)

    def is_auth_failure(self, ex: Exception) -> bool:
        return self.endpoint.is_auth_failure(ex)

    async def refresh_credentials(self) -> None:
        await self.endpoint.refresh_credentials()

    async def aclose(self) -> None:
        await self.endpoint.aclose()


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
