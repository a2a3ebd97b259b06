"""inspect's model provider `policy/MODEL`: the chat endpoint of POLICY_BASE_URL, which answers every request.

inspect ends a whole task at the first request that a server refuses. Here a prompt beyond the model's context, in the
words of any server, and a request that a content filter stops, is an answer without content; `bounded` scores it as
failed. It wraps `openai-api/policy/MODEL`, whose connection, retries and credentials it uses.
"""

import re
from typing import Any, cast

from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelCall,
    ModelOutput,
    RetryDecision,
    StopReason,
    get_model,
)
from inspect_ai.tool import ToolChoice, ToolInfo

ENDPOINT = "openai-api/policy"

# vLLM: "This model's maximum context length is 8192 tokens", "longer than the maximum model length of 2048"; SGLang:
# "longer than the model's context length"; TGI: "`inputs` tokens + `max_new_tokens` must be <= 4096"; llama.cpp:
# "exceeds the available context size"; OpenAI: "context_length_exceeded".
_TOO_LONG = re.compile(
    r"context.?(?:length|window|size)|(?:model|input|prompt|sequence) length|(?:prompt|input) is too long"
    r"|max_new_tokens. must be|too many (?:input )?tokens|maximum (?:number of )?(?:input )?tokens",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content.?(?:filter|policy|management)|moderation|flagged|safety system|blocked by", re.IGNORECASE
)


def refusal(error: Exception) -> StopReason | None:
    """Why a server refused this request and not every one: None if it may refuse every one."""
    text = str(error)
    if getattr(error, "status_code", None) == 413 or _TOO_LONG.search(text):
        return "model_length"
    return "content_filter" if _FILTERED.search(text) else None


class PolicyAPI(ModelAPI):
    def __init__(self, model_name: str, **arguments: Any) -> None:
        self.endpoint = get_model(f"{ENDPOINT}/{model_name}", memoize=False, **arguments).api
        super().__init__(model_name, self.endpoint.base_url, self.endpoint.api_key)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> tuple[ModelOutput | Exception, ModelCall]:
        output, call = cast(  # the wrapped provider returns both
            "tuple[ModelOutput | Exception, ModelCall]",
            await self.endpoint.generate(input, tools, tool_choice, config),
        )
        if call.error:
            # Some refusals are recognized by inspect, which makes the server's message the answer.
            reason = refusal(output) if isinstance(output, Exception) else output.stop_reason
            if reason is not None:
                text = str(output) if isinstance(output, Exception) else output.completion
                output = ModelOutput.from_content(self.model_name, "", stop_reason=reason, error=text)
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
