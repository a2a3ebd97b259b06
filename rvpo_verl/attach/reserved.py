"""Names that verl itself puts into the batch beside the rewards, where a reward of that name would be overwritten."""

import inspect
from collections.abc import Iterator
from functools import cache
from types import CodeType
from typing import Any


@cache
def names_of_verl() -> frozenset[str]:
    """Keys of the batch that the installed verl builds of rows and rollouts, as its own code spells them."""
    from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, AgentLoopWorker
    from verl.utils.dataset.rl_dataset import RLHFDataset

    functions = (AgentLoopWorker._postprocess, RLHFDataset.__getitem__)
    found = {name for function in functions for name in _strings(inspect.unwrap(function).__code__)}
    return frozenset({name for name in found if name.isidentifier()} | set(AgentLoopOutput.model_fields))


def _strings(constant: Any) -> Iterator[str]:
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, CodeType | frozenset | tuple):
        for each in constant.co_consts if isinstance(constant, CodeType) else constant:
            yield from _strings(each)
