"""The vocabulary of prompts and answers, and the text that an answer stands for.

A well-formed answer is `<think> note* </think> <tool_call> TOOL WHERE WHEN </tool_call> END`.
"""

import json
from collections.abc import Sequence

DIRECT, WHERE, WHEN, CUES, FILLERS = 4, 8, 8, 4, 3
TOOL_NAMES = [
    "delete_files", "send_mail", "book_flight", "transfer_money",
    "archive_files", "draft_mail", "hold_flight", "schedule_transfer",
]  # fmt: skip
"""What users ask for, then the cautious partner of each: tool t's is t + DIRECT."""

END, THINK, THINK_END, OPEN, CLOSE = range(5)
TOOL = 5
"""First tool; the others follow. The same holds for WHERE_0, WHEN_0, CUE and FILLER."""
WHERE_0 = TOOL + 2 * DIRECT
WHEN_0 = WHERE_0 + WHERE
CUE = WHEN_0 + WHEN
FILLER = CUE + CUES
VOCABULARY = FILLER + FILLERS
MAX_WORDS = 13

WORDS = [
    "", "<think>", "</think>", "<tool_call>", "</tool_call>",
    *TOOL_NAMES,
    *(f"place-{i}" for i in range(WHERE)),
    *(f"day-{i}" for i in range(WHEN)),
    *(f"cue-{i}" for i in range(CUES)),
    *(f"filler-{i}" for i in range(FILLERS)),
]  # fmt: skip


def call_text(name: str, parameters: dict[str, str]) -> str:
    return json.dumps({"name": name, "parameters": parameters})


def text(answer: Sequence[int]) -> str:
    """The answer's words, up to its END, as RLLA's format writes them.

    The words between `<tool_call>` and `</tool_call>` become JSON if they are a tool followed by arguments;
    anything else is left as it is, and is no call.
    """
    pieces: list[str] = []
    block: list[int] | None = None
    for word in answer:
        if word == END:
            break
        if block is not None and word == CLOSE:
            pieces.append(_block_text(block))
            block = None
        if block is None:
            pieces.append(WORDS[word])
        else:
            block.append(word)
        if word == OPEN and block is None:
            block = []
    if block:
        pieces += [WORDS[word] for word in block]
    return "\n".join(pieces)


def _block_text(block: Sequence[int]) -> str:
    if block and TOOL <= block[0] < WHERE_0 and all(WHERE_0 <= word < CUE for word in block[1:]):
        slots = {"where" if word < WHEN_0 else "when": WORDS[word] for word in block[1:]}
        return call_text(WORDS[block[0]], slots)
    return " ".join(WORDS[word] for word in block)


def ground_truth(tool: int, where: int, when: int) -> str:
    call = call_text(TOOL_NAMES[tool], {"where": f"place-{where}", "when": f"day-{when}"})
    return f"<think></think>\n<tool_call>\n{call}\n</tool_call>"
