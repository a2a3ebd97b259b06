"""Which answer a logged call of the judge is about: its prompt holds the answer, as `judge.prompt` wrote it."""

import hashlib
import re
from typing import Any

from rvpo_verl.report.texts import as_text

BEGINNING = 300
"""Characters by which answers are found: of a longer one the judge does not read the middle."""


def beginning(text: str) -> str:
    return hashlib.blake2b(text[:BEGINNING].strip().encode(errors="replace"), digest_size=16).hexdigest()


ASKED = re.compile(
    r"(?:\[CONVERSATION (?P<c>\w+)\]\n(?P<conversation>.*)\n\[END CONVERSATION (?P=c)\]\n+)?"
    r"\[ANSWER (?P<code>\w+)\]\n(?P<answer>.*)\n\[END ANSWER (?P=code)\]\s*(?P<question>.*)",
    re.DOTALL,
)


def read_prompt(prompt: Any) -> tuple[str, str, str] | None:
    """Answer, last message of the conversation, and question; None if `judge.prompt` did not write the prompt.

    Args:
        prompt: a text, or messages.
    """
    if isinstance(prompt, list):
        prompt = "\n".join(as_text(message.get("content")) for message in prompt if isinstance(message, dict))
    match = ASKED.search(as_text(prompt))
    if match is None:
        return None
    last = re.split(r"(?:\A|\n\n)\w+: ", match["conversation"] or "")[-1]
    return match["answer"], last.strip(), match["question"].strip()
