"""Whether it is good or bad if a criterion is literally true of an answer.

With a weight above 0 it is good. A *pitfall* (category, or weight below 0) describes a mistake, and published data
words it both ways with the same negative weight: "Avoids giving aspirin" is true of a good answer, "Does not mention
the dose" of a bad one. So the wording of a pitfall decides; `Wording` lists the cases, `docs/data.md` has the table
with examples. A wording that could be meant either way has no polarity.
"""

import re
from collections.abc import Iterable
from enum import Enum

from rvpo_verl.data.categories import PITFALL

GOOD, BAD = 1, -1


class Wording(Enum):
    """What the wording of a pitfall says, and the resulting polarity."""

    NORM = "says what an answer should do, or should not", GOOD
    AVOIDANCE = "avoids the mistake", GOOD
    NO_ERROR = "does not make the mistake", GOOD
    OMISSION = "leaves out what is needed", BAD
    NOT_COVERED = "does not mention what is needed", BAD
    ERROR = "makes the mistake", BAD
    STATEMENT = "says or does what the negative weight calls bad", BAD
    UNCLEAR = "could be meant either way", None
    CONTRADICTION = "category and sign of the weight disagree, and the wording does not settle it", None
    DECLARED_GOOD = "declared good, by an option or by the row", GOOD
    DECLARED_BAD = "declared bad, by an option or by the row", BAD

    def __init__(self, meaning: str, polarity: int | None) -> None:
        self.meaning = meaning
        self.polarity = polarity


def is_pitfall(category: str, weight: float) -> bool:
    return category == PITFALL or weight < 0


def read_pitfall(text: str, category: str, weight: float, declared: int | None = None) -> Wording:
    """A `declared` polarity decides, else the wording.

    If the category is pitfall and the weight is not negative, or the reverse, one of the two is wrong, and one of
    them says that meeting the criterion is good. Only a wording that says so too resolves the contradiction.
    """
    if declared is not None:
        return Wording.DECLARED_GOOD if declared == GOOD else Wording.DECLARED_BAD
    wording = read_wording(text)
    if (category == PITFALL) != (weight < 0) and wording.polarity != GOOD:
        return Wording.CONTRADICTION
    return wording


def opening_of(text: str, openings: Iterable[str]) -> str | None:
    """The longest of `openings` (lower case) that `text` begins with, with or without "The response"."""
    text = _normalize(text)
    said = _SUBJECT.sub("", text, count=1) if _SUBJECT.match(text) else text
    return max(
        (words for words in openings if text.startswith(words) or said.startswith(words)),
        key=len,
        default=None,
    )


# --- the wording ----------------------------------------------------------------------------------------


def _words(*stems: str) -> str:
    return "(?:" + "|".join(stems) + ")"


_SUBJECT = re.compile(
    r"(?:(?:the|this|a|an|any|its?|their) )?(?:(?:final|given|overall|model's|student's) )?"
    + _words(
        "response", "answer", "explanation", "solution", "analysis", "discussion",
        "reasoning", "calculation", "derivation", "conclusion", "description", "argument", "output", "text",
        "model", "assistant", "student", "candidate", "respondent", "author", "it", "they",
    )
    + r" (?:(?:of|for|about|on) (?:(?!that |which |who )[^,.;: ]+ ){1,8}?(?=(?:should|must|shall) ))?"
)  # fmt: skip
_MODAL = re.compile(r"(?:should|must|shall|needs? to|ought to|has to)\b")
# An imperative has the verb's base form. "Be careful not to …" is a norm as well.
_IMPERATIVE = re.compile(
    r"(?:(?:do not|don't) |(?:never) (?!\w+s\b|\w+ing\b)|be (?:careful|cautious|wary|mindful|sure)\b|beware\b"
    r"|take care\b|make sure\b|ensure )"
)
_AVOID = re.compile(
    r"(?:avoid(?:s|ed|ing)?|refrain(?:s|ed|ing)?(?: from)?|steers? clear of|guards? against)\b ?"
)
_NEGATION = re.compile(
    r"(?:(?:does|did|has|have|is|are|was|were|can|could) not|doesn't|didn't|cannot|can't|not|never) "
)
_ADVERB = re.compile(
    r"(?:(?!(?:only|apply|rely|imply|supply|reply|multiply|comply)\b)\w+ly|also|even|ever|just|simply|at all) "
)

_OMIT = _words(
    r"fail(?:s|ed|ing|ure)?\b", r"neglect", r"omit", r"omission of\b", r"overlook", r"ignor", r"lack", r"forget",
    r"miss(?:es|ed|ing)?\b", r"skip", r"leav(?:es|ing) out\b", r"without\b", r"absen(?:ce|t)\b",
    r"no (?:mention|discussion|explanation|consideration|acknowledg\w+|reference|indication|description) ",
)  # fmt: skip
_OMISSION = re.compile(_OMIT)
_COVERAGE = re.compile(
    _words(
        "mention", "stat(?:e|es|ed|ing)\\b", "identif", "discuss", "address", "explain", "specif", "acknowledg",
        "not(?:e|es|ed|ing)\\b", "describ", "recogni[sz]", "clarif", "emphasi[sz]", "highlight",
        "account(?:s|ing)? for", "distinguish", "differentiat", "warn", "consider", "includ", "provid", "indicat",
        "point(?:s|ing)? out", "ask", "inquir", "seek",
    )
)  # fmt: skip
_FAULT = (
    r"(?:incorrect|wrong|erroneous|inaccurate|misleading|unnecessary|irrelevant|inappropriate|unrelated|extraneous"
    r"|unsupported|unproven|unsafe|contraindicated|excessive|false(?![- ](?:positive|negative)))(?:ly)?\b"
)
_FAULTY = re.compile(_FAULT)
_FAULTY_ADVERB = re.compile(
    r"(?:incorrectly|wrongly|erroneously|mistakenly|falsely|inaccurately|improperly|inappropriately|unnecessarily"
    r"|prematurely|overly|excessively|blindly) "
)
_WELL = re.compile(
    r"(?:correctly|accurately|properly|adequately|appropriately|fully|sufficiently|thoroughly|precisely) "
)
_ERROR = re.compile(
    _words(
        "confus", "conflat", "mis(?!s(?:es|ed|ing|ion)?\\b)[a-z]{3}", "mix(?:es|ing)? up", "contradict", "overstat",
        "understat", "over-?emphasi", "under-?emphasi", "exaggerat", "over-?generali", "over-?simplif", "trivializ",
        "downplay", "dismiss", "fabricat", "invent(?:s|ed|ing)?\\b", "hallucinat", "distort", "overestimat",
        "underestimat", "err(?:s|ed|ing)?\\b",
    )
)  # fmt: skip
# "Does not recommend X" is as good or bad as X, unless X is called a fault.
_PROPOSAL = re.compile(
    _words(
        "recommend",
        "suggest",
        "introduc",
        "contain",
        "use",
        "make",
        "claim",
        "assert",
        "imply",
        "advis",
        "assum",
    )
    + r"\w* (?:(?:any|an?|the|further|additional|making|using) )?"
    + _FAULT
)
# Acts that are rarely the mistake.
_PRAISE = re.compile(
    _words(
        "ensur", "recogni[sz]", "acknowledg", "identif", "clarif", "distinguish", "differentiat", "warn", "maintain",
        "remain", "stay", "keep", "balanc", "(?:is|are|has|have)\\b",
    )
)  # fmt: skip
_ACT = re.compile(
    _words(
        "recommend", "suggest", "advis", "propos", "advocat", "prescrib", "stat", "claim", "sa[iy]", "assert",
        "impl[iy]", "conclud", "assum", "attribut", "mention", "discuss", "describ", "explain", "list", "includ",
        "provid", "giv", "present", "introduc", "add", "us(?=[ei])", "appl[iy]", "rel[iy]", "calculat", "comput",
        "mak(?=[ei])", "treat",
        "interpret", "equat", "focus", "prioriti[sz]", "delay", "start", "stop", "order", "select", "choos", "offer",
        "encourag", "blam", "rush", "jump", "repeat", "contain", "cit(?=[ei])", "address", "specif",
        "highlight", "emphasi[sz]", "note?", "consider", "indicat", "refer",
        "generat", "creat", "seek", "ask", "bur[iy]", "respond", "answer", "chang", "label", "call", "report",
        "follow", "develop", "extrapolat", "minimi[sz]", "characteri[sz]", "lengthen", "reassur", "attempt", "overus",
        "plac", "express", "promot", "instruct", "tell", "direct",
    )
    # "Answers are …" and "Changes of …" are nouns.
    + r"(?:e?s|ing)\b(?! (?:is|are|was|were|has|have|do|does|will|should|must|may|can|of)\b)"
)  # fmt: skip


def _normalize(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("’", "'")).strip().lower()


def read_wording(text: str) -> Wording:
    """What the wording of a pitfall says. Only the first words are read."""
    text = _normalize(text)
    subject = _SUBJECT.match(text)
    said = text[subject.end() :] if subject else text
    after_adverbs = _without_adverbs(said)
    if _MODAL.match(after_adverbs) or (subject is None and _IMPERATIVE.match(said)):
        return Wording.NORM
    if negation := _NEGATION.match(after_adverbs):
        return _negated(after_adverbs[negation.end() :])
    if avoid := _AVOID.match(after_adverbs):
        return _avoided(after_adverbs[avoid.end() :])
    if _OMISSION.match(after_adverbs):
        return Wording.OMISSION
    if _FAULTY_ADVERB.match(said) or _ERROR.match(after_adverbs) or _FAULTY.match(after_adverbs):
        return Wording.ERROR
    if _WELL.match(said) or _PRAISE.match(after_adverbs) or not _ACT.match(after_adverbs):
        return Wording.UNCLEAR
    return Wording.STATEMENT


def _negated(said: str) -> Wording:
    verb = _without_adverbs(said)
    if _AVOID.match(verb):
        return Wording.OMISSION
    if _FAULTY_ADVERB.match(said) or _ERROR.match(verb) or _OMISSION.match(verb) or _PROPOSAL.match(verb):
        return Wording.NO_ERROR
    if _WELL.match(said):
        return Wording.NOT_COVERED
    if _COVERAGE.match(verb) and not _FAULTY.search(verb):
        return Wording.NOT_COVERED
    return Wording.UNCLEAR


def _avoided(said: str) -> Wording:
    verb = _without_adverbs(said)
    if _COVERAGE.match(verb) and not (_FAULTY_ADVERB.match(said) or _FAULTY.search(verb)):
        return Wording.UNCLEAR  # "Avoids discussing the risks": a virtue or an evasion
    return Wording.AVOIDANCE


def _without_adverbs(said: str) -> str:
    while match := _ADVERB.match(said):
        said = said[match.end() :]
    return said
