"""Samples that end: at most 20 steps in a turn, and a refused request fails its own sample only."""

from typing import Any, Literal

from inspect_ai.model import ChatMessageTool, ModelOutput
from inspect_ai.solver import Generate, Solver, TaskState, solver

from rvpo_verl.evaluation.scores import UNANSWERED

ToolCalls = Literal["loop", "single", "none"]
"""Of inspect: until there is no call, once, or not at all."""
MAX_STEPS = 20
"""Rounds of calls in one turn of a dialogue, as on the Berkeley leaderboard."""
REASONS = {
    "model_length": "the prompt is longer than the model's context",
    "content_filter": "a content filter stopped the answer",
}


class _Unanswered(Exception):
    pass


@solver
def bounded(inner: Solver) -> Solver:
    """`inner`, with an empty output and a reason under `UNANSWERED` for a sample that does not end with an answer."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        async def step(tool_calls: ToolCalls, **arguments: Any) -> None:
            await generate(state, tool_calls=tool_calls, **arguments)
            if (reason := REASONS.get(state.output.stop_reason)) is not None:
                raise _Unanswered(reason)

        async def bounded_generate(
            given: TaskState, tool_calls: ToolCalls = "loop", **arguments: Any
        ) -> TaskState:
            if tool_calls != "loop":
                await step(tool_calls, **arguments)
                return given
            for _ in range(MAX_STEPS + 1):  # the last one must be an answer
                await step("single", **arguments)
                if state.completed or not isinstance(state.messages[-1], ChatMessageTool):
                    return given
            raise _Unanswered(f"more than {MAX_STEPS} rounds of calls in one turn")

        try:
            # Solvers pass the state by position.
            return await inner(state, bounded_generate)  # type: ignore[arg-type]
        except _Unanswered as reason:
            state.metadata[UNANSWERED] = str(reason)
            state.output = ModelOutput.from_content(str(state.model), "", error=state.output.error)
            return state

    return solve
