"""Scoring for launcher runs: a reward that is often missing, and a scoring function as verl calls it."""

from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format


def unreliable(response):
    """Not applicable to a third of the responses, fails for a sixth of them."""
    kind = len(response) % 6
    if kind < 2:
        return None
    if kind == 2:
        raise LookupError("the judge hung up")
    return sum(character in "aeiou" for character in response) / max(1, len(response))


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """What verl's own managers call: a score, with the rewards that `gdpo_reward_keys` names next to it."""
    shape = tool_call_format(solution_str, ground_truth)
    correct = tool_call_correctness(solution_str, ground_truth)
    return {"score": shape + correct, "format": shape, "correct": correct}
