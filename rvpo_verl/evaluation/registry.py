"""Entry point `inspect_ai`: the tasks `rvpo_verl/TASK` and the model provider `rlla/MODEL`."""

from inspect_ai.model import ModelAPI, modelapi

from rvpo_verl.evaluation.instructions import ifbench, ifeval
from rvpo_verl.evaluation.tasks import (
    bfcl,
    gpqa_diamond,
    healthbench,
    healthbench_consensus,
    healthbench_hard,
)

__all__ = [
    "bfcl",
    "gpqa_diamond",
    "healthbench",
    "healthbench_consensus",
    "healthbench_hard",
    "ifbench",
    "ifeval",
    "rlla",
]


@modelapi(name="rlla")
def rlla() -> type[ModelAPI]:
    from rvpo_verl.evaluation.rlla import RllaAPI  # needs the openai package

    return RllaAPI
