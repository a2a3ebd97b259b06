"""Scoring for launcher runs: a reward that is often missing, and a scoring function as verl calls it."""

from rvpo_verl.rewards.tool_calling import tool_call_correctness, tool_call_format


class Panic(BaseException):
    """As an extension written in Rust raises it."""


def unreliable(response):
    """Not applicable to a third of the responses, fails for a sixth of them, in ways that end a program elsewhere."""
    kind = len(response) % 12
    if kind in (0, 1, 6, 7):
        return None
    if kind == 2:
        raise LookupError("the judge hung up")
    if kind == 8:
        exec(
            "import sys; sys.exit()" if len(response) % 24 == 8 else "raise Panic('no more memory')",
            globals(),
        )
    return sum(character in "aeiou" for character in response) / max(1, len(response))


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    """What verl's own managers call: a score, with the rewards that `gdpo_reward_keys` names next to it."""
    shape = tool_call_format(solution_str, ground_truth)
    correct = tool_call_correctness(solution_str, ground_truth)
    if shape is None or correct is None:
        raise ValueError(f"not a ground truth of RLLA: {ground_truth!r}")
    return {"score": shape + correct, "format": shape, "correct": correct}


def up(response, extra_info):
    """Constant for a third of the prompts; together with `down` always 1."""
    if extra_info["index"] % 3 == 0:
        return 0.5
    return sum(character in "aeiou" for character in response) / max(1, len(response))


def down(response, extra_info):
    return 1 - up(response, extra_info)
