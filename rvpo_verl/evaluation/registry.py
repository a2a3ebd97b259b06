"""Entry point `inspect_ai`: the tasks `rvpo_verl/TASK` and the model providers `policy/MODEL` and `rlla/MODEL`."""

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
    "policy",
    "rlla",
]


@modelapi(name="policy")
def policy() -> type[ModelAPI]:
    from rvpo_verl.evaluation.policy import PolicyAPI  # needs the openai package

    return PolicyAPI


@modelapi(name="rlla")
def rlla() -> type[ModelAPI]:
    from rvpo_verl.evaluation.rlla import RllaAPI  # needs the openai package

    return RllaAPI
