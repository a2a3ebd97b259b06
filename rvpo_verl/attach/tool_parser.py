"""verl's tool parser `rlla`, by which agent loops read RLLA's answer format: `rollout.multi_turn.format=rlla`."""

import asyncio
import json
import re
from typing import Any

from rvpo_verl.rewards.tool_calling.parser import UnparsableError, parse_calls, split_thought

NAME = "rlla"
_BLOCK = re.compile(r"<tool_call>.*?</tool_call>", re.DOTALL)


def register(module: Any) -> str:
    """verl's own parsers read `arguments`; RLLA writes `parameters`, several calls to a block, and a thought first."""

    @module.ToolParser.register(NAME)
    class RllaToolParser(module.ToolParser):  # type: ignore[misc]  # a class of the verl that is installed
        async def extract_tool_calls(
            self, responses_ids: list[int], *_: Any, **__: Any
        ) -> tuple[str, list[Any]]:
            """The text without its calls, and the calls; none if one of them cannot be read."""
            text = await asyncio.get_running_loop().run_in_executor(
                None, lambda: self.tokenizer.decode(responses_ids, skip_special_tokens=True)
            )
            answer = split_thought(text)[1]
            try:
                calls = parse_calls(answer)
            except UnparsableError:
                return text, []
            return text.removesuffix(answer) + _BLOCK.sub("", answer), [
                module.FunctionCall(name=name, arguments=json.dumps(parameters)) for name, parameters in calls
            ]

    return f"ToolParser: {NAME}"
