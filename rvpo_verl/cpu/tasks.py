"""Tool-calling tasks in RLLA's schema: generated tasks, and flawed demonstrations of any.

A row is a dictionary with RLLA's columns: data_source, prompt (system and user message), ability,
reward_model (with the ground truth, an answer as text) and extra_info.
"""

import itertools
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rvpo_verl.data.rlla import ground_truth
from rvpo_verl.data.rows import Row
from rvpo_verl.errors import UserError

Split = Literal["train", "held_out"]
Call = dict[str, Any]
"""{"name": tool, "parameters": {parameter: value}}"""

CITIES = ["Paris", "London", "Tokyo", "Berlin", "Madrid", "Rome", "Oslo", "Cairo", "Lima", "Delhi"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
PEOPLE = ["Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jack", "Kate", "Leo"]
LANGUAGES = ["French", "German", "Spanish", "Italian", "Polish", "Dutch", "Greek", "Korean"]
CURRENCIES = ["dollars", "euros", "pounds", "yen", "francs", "pesos"]
GENRES = ["jazz", "rock", "folk", "techno", "opera", "blues"]
GOODS = ["milk", "bread", "rice", "apples", "coffee", "soap", "paper", "cheese"]
WORDS = ["river", "garden", "window", "bridge", "market", "letter", "mirror", "engine"]
NUMBERS = range(2, 40)


@dataclass(frozen=True)
class Tool:
    parameters: Mapping[str, Sequence[str] | range]
    """The values that each parameter can take."""
    requests: tuple[str, ...]
    """Wordings of a user's request for this call: imperatives, so that two can be joined."""

    def signature(self) -> str:
        kinds = {
            name: "int" if isinstance(values, range) else "string" for name, values in self.parameters.items()
        }
        return json.dumps(kinds)


TOOLS = {
    "get_weather": Tool(
        {"city": CITIES, "day": DAYS},
        ("Tell me the weather in {city} on {day}", "Check if it rains in {city} on {day}"),
    ),
    "book_table": Tool(
        {"city": CITIES, "guests": NUMBERS},
        ("Book a table for {guests} in {city}", "Reserve dinner in {city} for {guests} people"),
    ),
    "send_message": Tool(
        {"to": PEOPLE, "day": DAYS}, ("Tell {to} that we meet on {day}", "Write to {to} about {day}")
    ),
    "translate": Tool(
        {"word": WORDS, "language": LANGUAGES},
        ("Translate {word} into {language}", "Give me the {language} for {word}"),
    ),
    "convert_money": Tool(
        {"amount": NUMBERS, "currency": CURRENCIES},
        ("Convert {amount} to {currency}", "Work out {amount} in {currency}"),
    ),
    "play_music": Tool(
        {"genre": GENRES, "minutes": NUMBERS},
        ("Play {genre} for {minutes} minutes", "Let me hear {minutes} minutes of {genre}"),
    ),
    "set_timer": Tool(
        {"minutes": NUMBERS}, ("Set a timer for {minutes} minutes", "Wake me in {minutes} minutes")
    ),
    "buy_item": Tool(
        {"item": GOODS, "count": NUMBERS}, ("Order {count} {item}", "Buy me {item}, {count} of them")
    ),
    "find_hotel": Tool({"city": CITIES}, ("Find a hotel in {city}", "Look for a bed in {city}")),
    "call_person": Tool({"name": PEOPLE}, ("Call {name}", "Phone {name} now")),
    "find_train": Tool(
        {"origin": CITIES, "target": CITIES},
        ("Find a train from {origin} to {target}", "Get me from {origin} to {target} by rail"),
    ),
    "add_event": Tool(
        {"day": DAYS, "person": PEOPLE},
        ("Put {person} in my calendar on {day}", "Plan lunch with {person} on {day}"),
    ),
}

SYSTEM = "**Available Tools**\n{tools}\n\nAnswer with <think> </think>, then <tool_call> </tool_call>."
LISTED_TOOL = "{number}. Name: {name}\nParameters: {signature}"
USER = "**Dialogue Records History**\n<user> {request} </user>"
ANSWER = "<think> {thought} </think>\n<tool_call>\n{calls}\n</tool_call>"

HELD_OUT_SHARE = 1 / 8
TWO_CALL_SHARE = 0.2


def _arguments() -> dict[Split, dict[str, list[dict[str, Any]]]]:
    """The arguments of each tool, by split. The splits are disjoint and do not depend on a seed."""
    arguments: dict[Split, dict[str, list[dict[str, Any]]]] = {"train": {}, "held_out": {}}
    for name, tool in TOOLS.items():
        combinations = [
            dict(zip(tool.parameters, values, strict=True))
            for values in itertools.product(*tool.parameters.values())
            if len(set(values)) == len(values)  # no train from Rome to Rome
        ]
        random.Random(name).shuffle(combinations)
        held_out = max(1, int(len(combinations) * HELD_OUT_SHARE))
        arguments["held_out"][name] = combinations[:held_out]
        arguments["train"][name] = combinations[held_out:]
    return arguments


ARGUMENTS = _arguments()


def generate(count: int, seed: int, split: Split) -> list[Row]:
    """Tasks drawn with `seed`: two or three tools are offered; a fifth of the tasks need two calls, the others one.

    No (tool, arguments) of the held-out split occurs in the training split.
    """
    if split not in ARGUMENTS:
        raise ValueError(f"split={split!r}; accepted: {', '.join(ARGUMENTS)}")
    rng = random.Random(f"{split} {seed}")
    return [_task(rng, split, index) for index in range(count)]


def _task(rng: random.Random, split: Split, index: int) -> Row:
    offered = rng.sample(list(TOOLS), rng.choice((2, 3)))
    needed = rng.sample(offered, 2 if rng.random() < TWO_CALL_SHARE else 1)
    calls: list[Call] = [{"name": name, "parameters": rng.choice(ARGUMENTS[split][name])} for name in needed]
    requests = [rng.choice(TOOLS[call["name"]].requests).format(**call["parameters"]) for call in calls]
    requests[1:] = [request[0].lower() + request[1:] for request in requests[1:]]

    tools = "\n".join(
        LISTED_TOOL.format(number=number, name=name, signature=TOOLS[name].signature())
        for number, name in enumerate(offered, start=1)
    )
    system = SYSTEM.format(tools=tools)
    user = USER.format(request=" and ".join(requests) + ".")
    answer = _answer(f"I need {' and '.join(needed)}.", calls)
    return {
        "data_source": "rlla",
        "prompt": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        "ability": "math",  # as in every row of RLLA
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {
            "split": split,
            "index": index,
            "instruction": system,
            "input": user,
            "output": answer,
        },
    }


def calls_of(answer: str) -> list[Call]:
    """The calls of an answer; none if it is not well-formed."""
    _, _, after = answer.partition("<tool_call>")
    block, _, _ = after.partition("</tool_call>")
    try:
        calls = [json.loads(line) for line in block.strip().splitlines()]
    except json.JSONDecodeError:
        return []
    well_formed = all(isinstance(call, dict) and isinstance(call.get("parameters"), dict) for call in calls)
    return calls if well_formed and all("name" in call for call in calls) else []


def _answer(thought: str, calls: Sequence[Call]) -> str:
    lines = "\n".join(json.dumps(call, ensure_ascii=False) for call in calls)
    return ANSWER.format(thought=thought, calls=lines)


class Flaws:
    """Demonstrations with wrong tools, values, parameters and tags.

    A policy warmed up without them is nearly always right, which leaves reinforcement learning nothing to improve.
    """

    WRONG_TAGS = 0.45
    WRONG_TOOL = 0.25
    WRONG_VALUE = 0.3
    WRONG_PARAMETER = 0.2

    def __init__(self, rows: Sequence[Row]) -> None:
        """Wrong values are drawn from those that the same parameter takes in `rows`."""
        self._values: dict[str, list[Any]] = {}
        for row in rows:
            for call in calls_of(ground_truth(row)):
                for name, value in call["parameters"].items():
                    values = self._values.setdefault(name, [])
                    if value not in values:
                        values.append(value)

    def demonstration(self, row: Row, rng: random.Random) -> str:
        """An answer to `row` that may have several flaws, or none."""
        answer = ground_truth(row)
        calls = calls_of(answer)
        if calls:
            offered = _offered(row)
            flawed = [self._flawed_call(call, offered, rng) for call in calls]
            head, _, _ = answer.partition("<tool_call>")
            _, _, tail = answer.partition("</tool_call>")
            lines = "\n".join(json.dumps(call, ensure_ascii=False) for call in flawed)
            answer = f"{head}<tool_call>\n{lines}\n</tool_call>{tail}"
        if rng.random() < self.WRONG_TAGS:
            answer = rng.choice(_TAG_FLAWS)(answer)
        return answer

    def _flawed_call(self, call: Call, offered: Mapping[str, list[str]], rng: random.Random) -> Call:
        name, parameters = call["name"], dict(call["parameters"])
        others = [other for other in offered if other != name]
        if others and rng.random() < self.WRONG_TOOL:
            name = rng.choice(others)
            copied = list(parameters.values())
            parameters = {
                parameter: rng.choice(copied)
                if copied and rng.random() < 0.5
                else self._value(parameter, rng)
                for parameter in offered[name]
            }
        for parameter in parameters:
            if rng.random() < self.WRONG_VALUE:
                parameters[parameter] = self._value(parameter, rng)
        if parameters and rng.random() < self.WRONG_PARAMETER:
            parameter = rng.choice(list(parameters))
            value = parameters.pop(parameter)
            if not parameters or rng.random() < 0.5:
                parameters[f"{parameter}s"] = value
        return {"name": name, "parameters": parameters}

    def _value(self, parameter: str, rng: random.Random) -> Any:
        return rng.choice(self._values.get(parameter, [""]))


def _without(*tags: str) -> Any:
    def flaw(answer: str) -> str:
        for tag in tags:
            answer = answer.replace(tag, "", 1)
        return answer.strip()

    return flaw


_TAG_FLAWS = (
    lambda answer: answer.partition("</think>")[2].strip(),  # no thought at all
    _without(" </think>"),
    _without("\n</tool_call>", "</response>"),
    _without("<tool_call>\n", "\n</tool_call>", "<response>", "</response>"),
    lambda answer: answer.replace("</think>\n", "</think> ", 1),
    lambda answer: answer.replace("<tool_call>\n", "<tool_call> ", 1).replace(
        "\n</tool_call>", " </tool_call>"
    ),
)


def _offered(row: Row) -> dict[str, list[str]]:
    """Tools that the system message lists, with the names of their parameters."""
    tools: dict[str, list[str]] = {}
    name = None
    for line in row["prompt"][0]["content"].splitlines():
        if listed := re.match(r"\d+\. Name: (.+)", line):
            name = listed[1]
        elif name is not None and line.startswith("Parameters: "):
            try:
                signature = json.loads(line.removeprefix("Parameters: "))
            except json.JSONDecodeError:
                continue
            tools[name] = list(signature) if isinstance(signature, dict) else []
    return tools


def split_rows(
    rows: Sequence[Row], seed: int, *, share: float = 0.2, at_most: int = 128
) -> tuple[list[Row], list[Row]]:
    """Training rows and held-out rows: a share of the distinct prompts, drawn with `seed`.

    Rows with the same prompt stay on the same side.
    """
    prompts = list(dict.fromkeys(prompt_key(row) for row in rows))
    if len(prompts) < 2:
        raise UserError(
            f"{len(prompts)} distinct prompt in {len(rows)} rows; at least 2 are needed, for training and held-out rows"
        )
    held_out = set(random.Random(seed).sample(prompts, max(1, min(at_most, round(len(prompts) * share)))))
    return (
        [row for row in rows if prompt_key(row) not in held_out],
        [row for row in rows if prompt_key(row) in held_out],
    )


def prompt_key(row: Row) -> str:
    """The prompt as one text: equal for equal prompts."""
    return json.dumps([[message["role"], message["content"]] for message in row["prompt"]])
