"""One check for each constraint: the library's, or a corrected one where the library's is known to be wrong.

| kind | what if-verifiable 0.1.2 does | here |
|---|---|---|
| `language:response_language`, `change_case:english_*` | random, raced between threads; text without a language passes | the same every time; fails |
| `keywords:*`, `detectable_format:multiple_sections`, `detectable_content:postscript` | read the argument as a regular expression: `C++` matches `C`, `foo(` raises | as text |
| `keywords:letter_frequency` | a letter drawn at random in place of `#` or `!`, which IFEval asks for | counts the character |
| `length_constraints:nth_paragraph_first_word` | counts empty paragraphs when it looks for the n-th | does not |
| `count:person_names`, `count:keywords_multiple` | count inside of other words: `Leo` in `Leonardo` | whole words |
| `words:words_position`, `words:keywords_specific_position` | count punctuation as words | do not; `words_position` ignores case |
| `repeat:repeat_span` | a start of 0 is drawn at random; the end is left out, though "including" | from the start up to and including the end |
| `ratio:sentence_words` | different words are not checked | they are |
| `ratio:sentence_type`, `ratio:sentence_balance`, `format:sub-bullets`, `format:line_indent` | pass where there is nothing of the kind in the answer | fail |
| `format:quote_unquote`, `sentence:increment`, `custom:sentence_alphabet`, `custom:csv_*`, `detectable_format:json_format` | raise on some answers | fail |

Everything else is the library's own result. The relations `at most`, `exactly` and `around` of RLVR-IFeval are
put together from the library's `at least` and `less than`.
"""  # noqa: E501

import csv
import re
import string
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from rvpo_verl.errors import UserError
from rvpo_verl.rewards.instructions.languages import language
from rvpo_verl.rewards.instructions.library import Check, checker
from rvpo_verl.rewards.instructions.rows import Constraint

Arguments = Mapping[str, Any]


def build(constraint: Constraint) -> Check:
    """
    Raises:
        UserError: an unknown kind, or arguments that are not exactly the kind's own.
    """
    arguments = dict(constraint.arguments)
    relation = next(
        (arguments[name] for name in _COUNTED.get(constraint.kind, ()) if name in arguments), None
    )
    if relation in ("at most", "exactly", "around"):
        return _between(constraint.kind, arguments, relation)
    corrected = _CORRECTED.get(constraint.kind)
    return _library(constraint.kind, arguments) if corrected is None else corrected(arguments)


def _library(kind: str, arguments: Arguments) -> Check:
    check: Check = checker(kind, arguments).check_following
    return check


_COUNTED = {
    "keywords:frequency": ("relation", "frequency"),
    "keywords:letter_frequency": ("let_relation", "let_frequency"),
    "length_constraints:number_words": ("relation", "num_words"),
    "length_constraints:number_sentences": ("relation", "num_sentences"),
    "change_case:capital_word_frequency": ("capital_relation", "capital_frequency"),
}
"""Arguments for the relation and the number."""


def _between(kind: str, arguments: dict[str, Any], relation: str) -> Check:
    relation_name, number_name = _COUNTED[kind]
    number = arguments.get(number_name)
    if type(number) is not int:
        raise UserError(f"{kind}: {number_name}={number!r:.80}; expected an integer")
    # Tolerances of RLVR-IFeval's own functions.
    tolerance = (
        0 if relation != "around" else 1 if kind.endswith("sentences") else max(round(number * 0.1), 1)
    )
    below = build(
        Constraint(kind, {**arguments, relation_name: "less than", number_name: number + tolerance + 1})
    )
    if relation == "at most":
        return below
    least = max(number - tolerance, 0)
    above = build(Constraint(kind, {**arguments, relation_name: "at least", number_name: least}))
    return lambda answer: above(answer) and below(answer)


def _compare(count: int, relation: str, number: int) -> bool:
    return count < number if relation == "less than" else count >= number


def _response_language(arguments: Arguments) -> Check:
    checker("language:response_language", arguments)
    return lambda answer: language(answer) == arguments["language"]


def _english_capital(arguments: Arguments) -> Check:
    checker("change_case:english_capital", arguments)
    return lambda answer: answer.isupper() and language(answer) == "en"


def _english_lowercase(arguments: Arguments) -> Check:
    checker("change_case:english_lowercase", arguments)
    return lambda answer: answer.islower() and language(answer) == "en"


def _keywords_exist(arguments: Arguments) -> Check:
    checker("keywords:existence", arguments)
    patterns = [re.compile(re.escape(word), re.IGNORECASE) for word in arguments["keywords"]]
    return lambda answer: all(pattern.search(answer) for pattern in patterns)


def _keyword_frequency(arguments: Arguments) -> Check:
    checker("keywords:frequency", arguments)
    pattern = re.compile(re.escape(arguments["keyword"].strip()), re.IGNORECASE)
    relation, number = arguments["relation"], arguments["frequency"]
    return lambda answer: _compare(len(pattern.findall(answer)), relation, number)


def _no_forbidden_words(arguments: Arguments) -> Check:
    checker("keywords:forbidden_words", arguments)
    patterns = [_whole_word(word, re.IGNORECASE) for word in arguments["forbidden_words"]]
    return lambda answer: not any(pattern.search(answer) for pattern in patterns)


def _letter_frequency(arguments: Arguments) -> Check:
    letter = arguments.get("letter")
    if not isinstance(letter, str) or len(letter) != 1 or letter.isspace():
        raise UserError(f"keywords:letter_frequency: letter={letter!r:.80}; expected one character")
    checker("keywords:letter_frequency", {**arguments, "letter": "a"})  # the library knows only a to z
    letter, relation, number = letter.lower(), arguments["let_relation"], arguments["let_frequency"]
    return lambda answer: _compare(answer.lower().count(letter), relation, number)


def _sections(arguments: Arguments) -> Check:
    checker("detectable_format:multiple_sections", arguments)
    pattern = re.compile(rf"\s?{re.escape(arguments['section_spliter'].strip())}\s?\d+\s?")
    return lambda answer: len(pattern.findall(answer)) >= arguments["num_sections"]


def _postscript(arguments: Arguments) -> Check:
    kind = "detectable_content:postscript"
    found: Check = checker(kind, arguments).check_following
    marker = arguments["postscript_marker"].strip()
    if marker in ("P.S.", "P.P.S"):  # the library has patterns of its own for these
        return found
    return lambda answer: marker.lower() in answer.lower()


def _paragraphs(arguments: Arguments) -> Check:
    divider = arguments.get("divider", "***")
    check = _library(
        "length_constraints:number_paragraphs", {k: v for k, v in arguments.items() if k != "divider"}
    )
    return lambda answer: check(answer.replace(divider, "***"))


def _paragraph_first_word(arguments: Arguments) -> Check:
    check = _library("length_constraints:nth_paragraph_first_word", arguments)
    return lambda answer: check("\n\n".join(each for each in answer.split("\n\n") if each.strip()))


def _one_of_options(arguments: Arguments) -> Check:
    if "options" not in arguments:
        return _library("detectable_format:constrained_response", arguments)
    options = arguments["options"]  # of RLVR-IFeval; IFEval's are always the same
    if isinstance(options, str):
        options = re.findall(r"[^\s,/()\"'\[\]][^,/()\"'\[\]]*", options)
    if not options or not all(isinstance(option, str) and option.strip() for option in options):
        raise UserError(f"detectable_format:constrained_response: options={options!r:.80}; expected texts")
    return lambda answer: any(option.strip() in answer for option in options)


def _person_names(arguments: Arguments) -> Check:
    built = checker("count:person_names", arguments)
    listed = re.search(r"names: (.*?) ?\.$", built.build_description(**arguments))
    patterns = [_whole_word(name) for name in listed.group(1).split(", ")] if listed else []
    return lambda answer: sum(bool(pattern.search(answer)) for pattern in patterns) >= arguments["N"]


def _keywords_multiple(arguments: Arguments) -> Check:
    checker("count:keywords_multiple", arguments)
    wanted = [
        (_whole_word(arguments[f"keyword{number}"].strip(), re.IGNORECASE), times)
        for number, times in enumerate((1, 2, 3, 5, 7), start=1)
    ]
    return lambda answer: all(len(pattern.findall(answer)) == times for pattern, times in wanted)


def _words_position(arguments: Arguments) -> Check:
    checker("words:words_position", arguments)
    keyword = arguments["keyword"].strip().lower()

    def check(answer: str) -> bool:
        words = _words(answer)
        return len(words) >= 2 and words[1].lower() == words[-2].lower() == keyword

    return check


def _keyword_position(arguments: Arguments) -> Check:
    checker("words:keywords_specific_position", arguments)
    keyword: str = arguments["keyword"].strip()
    n: int = arguments["n"]
    m: int = arguments["m"]

    def check(answer: str) -> bool:
        sentences = _sentences(answer)
        words = _words(sentences[n - 1]) if len(sentences) >= n else []
        return len(words) >= m and words[m - 1] == keyword

    return check


def _repeat_span(arguments: Arguments) -> Check:
    prompt, start, end = (arguments.get(name) for name in ("prompt_to_repeat", "n_start", "n_end"))
    if not isinstance(prompt, str) or type(start) is not int or type(end) is not int or not 0 <= start <= end:
        raise UserError(
            f"repeat:repeat_span: kwargs {dict(arguments)!r:.120}; expected prompt_to_repeat, and words "
            "0 <= n_start <= n_end"
        )
    span = prompt.lower().split()[start : end + 1]
    return lambda answer: answer.lower().split() == span


def _different_words(arguments: Arguments) -> Check:
    equal_lengths = _library("ratio:sentence_words", arguments)

    def check(answer: str) -> bool:
        words = _without_punctuation(answer).lower().split()
        return bool(equal_lengths(answer)) and len(words) == len(set(words))

    return check


def _also(kind: str, there: Callable[[str], bool]) -> Callable[[Arguments], Check]:
    """The library's check, and that there is something in the answer to be checked."""

    def make(arguments: Arguments) -> Check:
        check = _library(kind, arguments)
        return lambda answer: there(answer) and check(answer)

    return make


def _malformed(kind: str, error: type[Exception]) -> Callable[[Arguments], Check]:
    """The library's check, where an answer that it cannot read at all does not meet the constraint."""

    def make(arguments: Arguments) -> Check:
        found = _library(kind, arguments)

        def check(answer: str) -> bool:
            try:
                return found(answer)
            except error:
                return False

        return check

    return make


def _sentence_balance(arguments: Arguments) -> Check:
    check = _library("ratio:sentence_balance", arguments)
    return lambda answer: any(each[-1:] in (".", "?", "!") for each in _sentences(answer)) and check(answer)


def _line_indent(arguments: Arguments) -> Check:
    checker("format:line_indent", arguments)

    def check(answer: str) -> bool:
        indents = [len(line) - len(line.lstrip(" ")) for line in answer.split("\n") if line.strip()]
        return len(indents) > 1 and all(this < following for this, following in pairwise(indents))

    return check


def _sentence_alphabet(arguments: Arguments) -> Check:
    checker("custom:sentence_alphabet", arguments)

    def check(answer: str) -> bool:
        starts = [
            each.lstrip(string.punctuation + string.whitespace)[:1].lower() for each in _sentences(answer)
        ]
        return starts == list(string.ascii_lowercase)

    return check


def _whole_word(text: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", flags)


def _without_punctuation(text: str) -> str:
    return text.translate(str.maketrans("", "", string.punctuation))


def _sentences(text: str) -> list[str]:
    from if_verifiable.ifbench.instructions_util import split_into_sentences

    sentences: list[str] = split_into_sentences(text)
    return sentences


def _words(text: str) -> list[str]:
    from nltk import word_tokenize

    return [token for token in word_tokenize(text) if any(letter.isalnum() for letter in token)]


_CORRECTED: dict[str, Callable[[Arguments], Check]] = {
    "language:response_language": _response_language,
    "change_case:english_capital": _english_capital,
    "change_case:english_lowercase": _english_lowercase,
    "keywords:existence": _keywords_exist,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _no_forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:constrained_response": _one_of_options,
    "detectable_content:postscript": _postscript,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _paragraph_first_word,
    "count:person_names": _person_names,
    "count:keywords_multiple": _keywords_multiple,
    "words:words_position": _words_position,
    "words:keywords_specific_position": _keyword_position,
    "repeat:repeat_span": _repeat_span,
    "ratio:sentence_words": _different_words,
    "ratio:sentence_type": _also("ratio:sentence_type", lambda answer: "?" in answer),
    "ratio:sentence_balance": _sentence_balance,
    "format:sub-bullets": _also("format:sub-bullets", lambda answer: "*" in answer),
    "format:line_indent": _line_indent,
    "format:quote_unquote": _also(
        "format:quote_unquote", lambda answer: any(each.isalpha() for each in answer)
    ),
    "sentence:increment": _also("sentence:increment", lambda answer: bool(_sentences(answer))),
    "custom:sentence_alphabet": _sentence_alphabet,
    "detectable_format:json_format": _malformed("detectable_format:json_format", RecursionError),
    "custom:csv_city": _malformed("custom:csv_city", csv.Error),
    "custom:csv_special_character": _malformed("custom:csv_special_character", csv.Error),
    "custom:csv_quotes": _malformed("custom:csv_quotes", csv.Error),
}
