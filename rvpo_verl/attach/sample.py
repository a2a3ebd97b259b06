"""What a reward may know of a response, from the row that verl's agent loop sends to a reward manager."""

import logging
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rvpo_verl.attach.agent_loop import MASK, of_row
from rvpo_verl.rewards.sample import Sample, written

logger = logging.getLogger("rvpo_verl.rewards")

_REPORTED: set[str] = set()
"""Names in `extra_info` of which it was said that the row's value is kept."""


def make_sample(item: Any, tokenizer: Any, served: Mapping[str, Any]) -> Sample:
    """
    Args:
        item: an item of a DataProto: the last output of an agent session.
        served: arguments of rewards that are the same for all responses.
    """
    row = {name: value for name, value in item.non_tensor_batch.items() if value is not None}
    ids = item.batch["responses"]
    # Rows of a session are padded at the end, beyond their own response: only its length tells where.
    length = row.get("response_len")
    if length is None:
        length = item.batch["attention_mask"][-len(ids) :].sum()
    ids = ids[: int(length)].tolist()
    mask = row.get(MASK, item.batch.get("response_mask"))
    mask_T = np.ones(len(ids), dtype=int) if mask is None else np.asarray(mask[: len(ids)]).astype(int)
    turns = _turns(ids, mask_T, lambda part: tokenizer.decode(part, skip_special_tokens=True))
    agent = plain(row.get("tool_extra_fields") or {})
    messages, data_source = row.get("raw_prompt"), row.get("data_source")
    return Sample(
        response="\n".join(written(turns)),
        turns=turns,
        ground_truth=plain((row.get("reward_model") or {}).get("ground_truth")),
        messages=None if messages is None else plain(list(messages)),
        data_source=None if data_source is None else str(data_source),
        extra_info=_extra_info(
            plain(row.get("extra_info") or {}),
            {
                **agent,
                "num_turns": plain(row.get("__num_turns__")),
                "rollout_reward_scores": plain(row.get("reward_scores", {})),
            },
        ),
        response_ids=ids,
        response_mask=mask_T.tolist(),
        tool_rewards=_numbers(agent.get("tool_rewards")),
        turn_scores=_numbers(agent.get("turn_scores")),
        tokenizer=tokenizer,
        **of_row(row),
        **served,
    )


def plain(value: Any) -> Any:
    """The value with Python's numbers and lists in place of numpy's, which `json` and exact type checks refuse."""
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _turns(ids: list[int], mask_T: np.ndarray, decode: Callable[[list[int]], str]) -> list[dict[str, Any]]:
    """Runs of tokens that the model wrote, and of tokens that it received, as messages."""
    starts = [0, *(np.flatnonzero(np.diff(mask_T)) + 1).tolist(), len(ids)]
    turns = []
    for start, end in pairwise(starts if ids else ()):
        text = decode(ids[start:end])
        turns.append(
            {"role": "assistant", "content": text}
            if mask_T[start]
            else {"role": "tool", "content": text.strip()}
        )
    return turns


def _extra_info(of_data: dict[str, Any], of_rollout: dict[str, Any]) -> dict[str, Any]:
    """Both; where they share a name, what the data say: a tool must not change what the row asks for."""
    for name in of_data.keys() & of_rollout.keys() - _REPORTED:
        _REPORTED.add(name)
        logger.warning(
            "extra_info[%r] is set by the data and by the rollout (verl, an agent loop or a tool). Rewards get the "
            "value of the data; give one of them another name",
            name,
        )
    return {**of_rollout, **of_data}


def _numbers(values: Any) -> list[float]:
    return [float(value) for value in values or () if isinstance(value, int | float)]
