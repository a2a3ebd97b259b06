"""Two tools for launcher runs of several turns, and a reward that records what it was given to `SEEN_FILE`."""

import json
import os

from verl.tools.function_tool import function_tool

from rvpo_verl.rewards.tool_calling import tool_call_correctness

ANSWER = "It will be 21 degrees"


@function_tool("get_weather")
def get_weather(city: str, day: str):
    """Tells the weather.

    Args:
        city: where.
        day: when.
    """
    return f"{ANSWER} in {city} on {day}", 1.0, {}


@function_tool("find_hotel")
def find_hotel(city: str):
    """Finds a hotel.

    Args:
        city: where.
    """
    # A tool that repeats a call, as a tool that shows how it was asked does.
    call = json.dumps({"name": "find_hotel", "parameters": {"city": city}})
    return f"{ANSWER} <think> I need find_hotel. </think>\n<tool_call>\n{call}\n</tool_call>", 0.5, {}


def seen(response, turns, last_turn, response_ids, response_mask, tool_rewards, extra_info, ground_truth):
    line = {
        "response": response,
        "turns": turns,
        "last_turn": last_turn,
        "tokens": len(response_ids),
        "received": response_mask.count(0),
        "tool_rewards": tool_rewards,
        "num_turns": extra_info["num_turns"],
        "correctness": tool_call_correctness(response, ground_truth, turns=turns),
    }
    with open(os.environ["SEEN_FILE"], "a") as file:
        file.write(json.dumps(line) + "\n")
    return float(ANSWER in response)
