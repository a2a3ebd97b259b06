"""The category of a criterion (its importance), which RaR writes at the beginning of the text."""

import difflib
import re
from typing import Literal, NamedTuple

IMPORTANCE = {"essential": 1.0, "important": 0.7, "optional": 0.3, "pitfall": 0.9}
"""Weight of each category in RaR's explicit aggregation (arXiv:2507.17746)."""
WEIGHT = {"essential": 5.0, "important": 4.0, "optional": 2.0, "pitfall": -1.0}
"""A weight of each category in RaR's data, for criteria without one."""
PITFALL = "pitfall"

# "Essential Criteria: …". Before "Criteria" any word is a prefix; without "Criteria" only a category is.
_PREFIX = re.compile(r"[\W\d]*([a-z]+)(\s+criter\w*)?\**\s*(?::|\s[–—-]\s)[\s*]*", re.IGNORECASE)
SIMILARITY, SIMILARITY_OF_BARE_WORD = 0.75, 0.9
"""Least similarity (difflib) of a misspelled category to the right one: "Importance" has 0.84, "Option" 0.86."""


class Prefix(NamedTuple):
    category: str | None
    """A key of IMPORTANCE; None if the prefix is missing or unknown."""
    word: str
    """As written; empty if missing."""
    text: str
    """The criterion without the prefix."""
    kind: Literal["exact", "misspelled", "unknown", "missing"]


def split_prefix(description: str) -> Prefix:
    description = description.strip()
    match = _PREFIX.match(description)
    if match is None:
        return Prefix(None, "", description, "missing")
    word, named = match[1], match[2] is not None
    text = description[match.end() :].strip()
    if word.lower() in IMPORTANCE:
        return Prefix(word.lower(), word, text, "exact")
    cutoff = SIMILARITY if named else SIMILARITY_OF_BARE_WORD
    if near := difflib.get_close_matches(word.lower(), IMPORTANCE, n=1, cutoff=cutoff):
        return Prefix(near[0], word, text, "misspelled")
    return Prefix(None, word, text, "unknown") if named else Prefix(None, "", description, "missing")


def of_weight(weight: float) -> str:
    """The category that RaR's instructions tie to a weight: 5, 3 to 4, 1 to 2, below 0."""
    if weight < 0:
        return PITFALL
    return "essential" if weight >= 5 else "important" if weight >= 3 else "optional"
