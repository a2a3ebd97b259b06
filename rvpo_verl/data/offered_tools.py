"""The tools that an RLLA prompt offers, and what of a ground truth's calls is not among them."""

import json
import re
from collections.abc import Sequence

from rvpo_verl.data.rows import Row
from rvpo_verl.rewards.tool_calling.parser import Call

_HEADING = "**Available Tools**"
_TOOL = re.compile(r"^\d+\. Name: (.*)\nDescription:(?:.*\n)+?Parameters: (.*)$", re.MULTILINE)


def offered_tools(row: Row) -> dict[str, set[str]] | None:
    """Names of the parameters, by tool; None for a prompt that lists its tools in another form, or none."""
    listed = row["prompt"][0]["content"].partition(_HEADING)[2].partition("\n\n**")[0]
    try:
        tools = {name.strip(): set(json.loads(parameters)) for name, parameters in _TOOL.findall(listed)}
    except (ValueError, TypeError):
        return None
    return tools or None


def not_offered(row: Row, calls: Sequence[Call]) -> list[str]:
    """What is called and not offered: names of tools, and names of parameters with that of their tool."""
    tools = offered_tools(row)
    if tools is None:
        return []
    missing = []
    for name, parameters in calls:
        if name not in tools:
            missing.append(f"tool {name!r}")
        else:
            missing += [f"{name}: parameter {each!r}" for each in parameters if each not in tools[name]]
    return missing
