"""The reward `instructions`: the library's own results, but for its known defects."""

import asyncio
import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.paths import SHARED_DATA

pytest.importorskip("if_verifiable")

from if_verifiable.common import evaluate_instructions

from rvpo_verl.config import RewardsConfig
from rvpo_verl.data.instruction_prompts import DRAWS, Prompts, draw_row
from rvpo_verl.errors import ConfigError, UserError
from rvpo_verl.rewards.call import Sample, Scorer
from rvpo_verl.rewards.instructions import Instructions, instructions, resources
from rvpo_verl.rewards.instructions.library import registry
from rvpo_verl.rewards.protocol import RunContext
from rvpo_verl.schema import parse
from tests.support.instruction_answers import ANSWERS, HOSTILE, IFBENCH
from tests.support.nltk_data import needs_nltk_data


def row(*constraints, **more):
    return {
        "prompt": "Write.",
        "instruction_id_list": [kind for kind, _ in constraints],
        "kwargs": [arguments for _, arguments in constraints],
        **more,
    }


def meets(answer, kind, arguments=None, **options):
    (score,) = instructions(answer, row((kind, arguments)), **options).values()
    return score.value


# The library's own results.


@needs_nltk_data
def test_generated_rows_score_as_the_library_does():
    every_kind = set(DRAWS) - {"change_case:english_capital", "change_case:english_lowercase"}  # seeded here
    compared = set()
    for number in range(150):
        drawn = draw_row(Prompts(kinds=sorted(every_kind), constraints=(1, 4), words=20), 7, number)
        for answer in ANSWERS:
            results, _ = evaluate_instructions(
                answer, drawn["instruction_id_list"], drawn["kwargs"], drawn["prompt"], registry()
            )
            for mode in ("strict", "loose"):
                scores = instructions(answer.strip(), drawn, mode=mode)
                assert [score.value for score in scores.values()] == [
                    float(getattr(result, f"{mode}_pass")) for result in results
                ], (drawn, answer, mode)
            compared |= {(result.instruction_id, result.strict_pass) for result in results}
    never_met = {"detectable_format:json_format", "combination:two_responses"}
    assert {kind for kind, met in compared if met} >= every_kind - never_met


@needs_nltk_data
@pytest.mark.parametrize("kind, arguments", IFBENCH, ids=lambda value: str(value)[:30])
def test_every_other_kind_of_ifbench_scores_as_the_library_does(kind, arguments):
    for answer in ANSWERS:
        results, _ = evaluate_instructions(answer, [kind], [arguments], "Write.", registry())
        assert meets(answer.strip(), kind, arguments) == float(results[0].strict_pass), answer


DEFECTS = [
    ("keywords:existence", {"keywords": ["C++"]}, "I write C.", "I write C++."),
    ("keywords:existence", {"keywords": ["foo("]}, "foo", "Call foo(1)."),
    ("keywords:frequency", {"keyword": "a.b", "frequency": 1, "relation": "at least"}, "axb", "a.b"),
    ("keywords:forbidden_words", {"forbidden_words": ["C++"]}, "I like C++ a lot", "I like C a lot"),
    ("keywords:forbidden_words", {"forbidden_words": ["a.b"]}, "a.b", "axb"),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "at least"}, "#a", "#a #b"),
    ("detectable_format:multiple_sections", {"section_spliter": "S.", "num_sections": 1}, "Sx 1 a", "S. 1 a"),
    ("detectable_content:postscript", {"postscript_marker": "(PS)"}, "ps", "Yes. (PS) No."),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First.\n\n\n\nLater.", "First.\n\n\n\nThen.",
    ),
    ("language:response_language", {"language": "en"}, "123 456", "This is plain English, as it is spoken."),
    ("count:person_names", {"N": 1}, "Leonardo went to Miami.", "Leo went home."),
    (
        "count:keywords_multiple",
        {"keyword1": "a", "keyword2": "b", "keyword3": "c", "keyword4": "d", "keyword5": "e"},
        "a bb ccc ddddd eeeeeee", "a b b c c c d d d d d e e e e e e e",
    ),
    ("repeat:repeat_span", {"prompt_to_repeat": "one two three", "n_start": 0, "n_end": 1}, "one", "one two"),
    ("ratio:sentence_words", {}, "One two. One two. One two.", "One two. Six ten. Red sky."),
    ("ratio:sentence_type", {}, "no sentence at all", "One. Two. Three?"),
    ("ratio:sentence_balance", {}, "no sentence at all", "One. Two? Three!"),
    ("format:sub-bullets", {}, "No bullets.", "* One\n - sub"),
    ("format:line_indent", {}, "One line.", "One\n two\n  three"),
    ("format:line_indent", {}, "One\n\n\n\n two\n two", "One\n\n\n\n two\n  three"),
    ("format:quote_unquote", {}, "...", '"Quoted" and explained.'),
    ("custom:sentence_alphabet", {}, "! " * 30, " ".join(f"{letter}bc." for letter in "abcdefghijklmnopqrstuvwxyz")),
]  # fmt: skip

DATA = SHARED_DATA / "instructions"
DIFFERS = {kind for kind, *_ in DEFECTS} | {
    "words:words_position", "words:keywords_specific_position", "change_case:english_capital",
    "change_case:english_lowercase",
}  # fmt: skip


@needs_nltk_data
@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")
@pytest.mark.parametrize("benchmark", ["ifeval", "ifbench"])
def test_every_row_of_a_benchmark_scores_as_its_checkers_do(benchmark, tmp_path):
    """Through the command; answers that repeat the prompt, and others."""
    rows = [json.loads(line) for line in (DATA / f"{benchmark}.jsonl").read_text().splitlines()]
    pairs = [(each, answer) for each in rows for answer in (each["prompt"], *ANSWERS[:5])]
    file = tmp_path / "answers.jsonl"
    lines = [{"response": answer.strip(), "ground_truth": None, "extra_info": each} for each, answer in pairs]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "rvpo_verl", "rewards", "score", "instructions", "--data", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr

    compared = 0
    for (each, answer), line in zip(pairs, done.stdout.splitlines(), strict=True):
        scores = json.loads(line)
        assert list(scores) == [
            f"instructions/{kind}/{number}"
            for number, kind in enumerate(each["instruction_id_list"], start=1)
        ]
        for name, kind, arguments in zip(scores, each["instruction_id_list"], each["kwargs"], strict=True):
            if kind in DIFFERS or (kind == "words:start_verb" and not resources.is_there(TAGGER)):
                continue
            results, _ = evaluate_instructions(
                answer, [kind], [_integers(arguments)], each["prompt"], registry()
            )
            assert scores[name] == float(results[0].strict_pass), (each["key"], name, answer)
            compared += 1
    assert compared > 3 * len(rows)


TAGGER = "taggers/averaged_perceptron_tagger_eng"


def _integers(arguments):
    """IFBench's table stores whole numbers as floats, of which its own code cannot take the remainder."""
    return {name: int(value) if isinstance(value, float) else value for name, value in arguments.items()}


# The library's defects, and what is right.


@pytest.mark.parametrize("kind, arguments, wrong, right", DEFECTS, ids=lambda value: str(value)[:30])
def test_a_known_defect_is_corrected(kind, arguments, wrong, right):
    assert (meets(wrong, kind, arguments), meets(right, kind, arguments)) == (0, 1)


@needs_nltk_data
def test_punctuation_is_no_word():
    keyword = {"keyword": "vivid"}
    assert meets('"A vivid, clear and Vivid day."', "words:words_position", keyword) == 1
    assert meets("A clear vivid day.", "words:words_position", keyword) == 0
    position = {"keyword": "vivid", "n": 2, "m": 2}
    assert meets("One. So, vivid it is.", "words:keywords_specific_position", position) == 1
    assert meets("One. So very vivid.", "words:keywords_specific_position", position) == 0


def test_a_repeated_kind_is_two_rewards_in_the_order_of_the_row():
    letter = {"let_relation": "at least", "let_frequency": 1}
    given = row(
        ("keywords:letter_frequency", {**letter, "letter": "a"}),
        ("punctuation:no_comma", None),
        ("keywords:letter_frequency", {**letter, "letter": "b"}),
    )
    scores = instructions("only a, not the other", given)
    assert {name: score.value for name, score in scores.items()} == {
        "keywords:letter_frequency/1": 1,
        "punctuation:no_comma/2": 0,
        "keywords:letter_frequency/3": 0,
    }
    assert list(scores)[1] == "punctuation:no_comma/2"


def test_the_language_of_a_text_is_the_same_every_time_and_in_every_thread():
    """Texts that are of two languages: without a seed, some are found to be of either."""
    texts = ["Casa del sol e mare", "Casa di sol y mar", "La porta no es la casa di mare"]
    languages = ("it", "es", "pt", "fr", "en")

    def of(text):
        return [meets(text, "language:response_language", {"language": each}) for each in languages]

    with ThreadPoolExecutor(16) as threads:
        for text in texts:
            assert len({tuple(found) for found in threads.map(of, [text] * 32)}) == 1


# Rows.


@pytest.mark.parametrize(
    "kind, arguments, part",
    [
        ("keywords:existence", {}, "no keywords in its kwargs"),
        ("keywords:existence", {"keywords": []}, "at random"),
        ("keywords:existence", {"keywords": "abc"}, "keywords='abc'"),
        ("length_constraints:number_words", {"relation": "at least"}, "no num_words"),
        ("length_constraints:number_words", {"relation": "over", "num_words": 3}, "relation"),
        ("length_constraints:number_words", {"relation": "at least", "num_words": -3}, "at random"),
        ("length_constraints:number_words", {"relation": "at least", "num_words": "x"}, "not accepted"),
        ("length_constraints:nth_paragraph_first_word",
         {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "x"}, "at random"),
        ("keywords:letter_frequency", {"letter": "", "let_frequency": 1, "let_relation": "at least"}, "letter=''"),
        ("repeat:repeat_span", {"prompt_to_repeat": "a b c", "n_start": 1}, "n_end"),
        ("words:keywords_specific_position", {"keyword": "x", "n": 0, "m": 1}, "at random"),
        ("punctuation:no_comma", {"extra": 1}, "not accepted"),
        ("keywords:existance", {}, "did you mean 'keywords:existence'"),
    ],
)  # fmt: skip
def test_what_the_library_would_draw_at_random_is_refused(kind, arguments, part):
    with pytest.raises(UserError, match="constraint 1: ") as error:
        instructions("An answer.", row((kind, arguments)))
    assert part in str(error.value)


@pytest.mark.parametrize("kind", sorted(DRAWS))
def test_no_kind_is_drawn_without_its_arguments(kind):
    """With nothing given, a kind is either refused or has nothing to draw."""
    try:
        checks = {instructions(answer, row((kind, {}))) is not None for answer in ("a", "b")}
    except UserError:
        return
    assert checks and not DRAWS[kind](random.Random(0), 10)


PUBLISHED = {
    "ifeval": {
        "extra_info": row(("keywords:existence", {"keywords": ["tea"]}), ("punctuation:no_comma", {}))
    },
    "ifbench, with every unused argument": {
        "extra_info": row(
            ("keywords:existence", {"keywords": ["tea"], "N": None, "options": None}),
            ("punctuation:no_comma", {"keywords": None, "N": None, "options": None}),
        )
    },
    "as JSON": {
        "extra_info": row(("keywords:existence", '{"keywords": ["tea"]}'), ("punctuation:no_comma", "{}"))
    },
    "IF_multi_constraints_upto5": {
        "ground_truth": "[{'instruction_id': ['keywords:existence', 'punctuation:no_comma'], "
        "'kwargs': [{'keywords': ['tea']}, None]}]"
    },
}


@pytest.mark.parametrize("form", PUBLISHED)
def test_every_published_form_of_a_row_gives_the_same_rewards(form):
    given = {"extra_info": {}, **PUBLISHED[form]}
    scores = instructions("Tea, please.", **given)
    assert {name: score.value for name, score in scores.items()} == {
        "keywords:existence/1": 1,
        "punctuation:no_comma/2": 0,
    }


RLVR = {
    "keyword_list": None,
    "word": None,
    "N": None,
    "quantifier": None,
    "options": None,
    "section_splitter": None,
}


@pytest.mark.parametrize(
    "given, name, wrong, right",
    [
        ({"func_name": "verify_keywords", "keyword_list": ["tea"]}, "keywords:existence/1", "milk", "Tea"),
        ({"func_name": "verify_keyword_frequency", "word": "tea", "N": 2}, "keywords:frequency/1",
         "tea tea tea", "tea tea"),
        ({"func_name": "verify_letter_frequency", "letter": "z", "N": 1}, "keywords:letter_frequency/1", "zz", "z"),
        ({"func_name": "validate_word_constraint", "N": 3, "quantifier": "at most"},
         "length_constraints:number_words/1", "a b c d", "a b c"),
        ({"func_name": "validate_word_constraint", "N": 20, "quantifier": "around"},
         "length_constraints:number_words/1", "a " * 23, "a " * 22),
        ({"func_name": "verify_paragraph_count", "N": 2}, "length_constraints:number_paragraphs/1",
         "a\n\nb", "a\n* * *\nb"),
        ({"func_name": "validate_choice", "options": "yes/no"}, "detectable_format:constrained_response/1",
         "maybe", "I say yes"),
        ({"func_name": "validate_sections", "section_splitter": "Part", "N": 2},
         "detectable_format:multiple_sections/1", "Part 1 a", "Part 1 a Part 2 b"),
        ({"func_name": "validate_no_commas"}, "punctuation:no_comma/1", "a, b", "a b"),
        ({"func_name": "validate_end", "end_phrase": "Bye"}, "startend:end_checker/1", "Bye now", "Now bye"),
    ],
    ids=lambda value: value.get("func_name") if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_row_of_rlvr_ifeval_is_one_constraint(given, name, wrong, right):
    truth = json.dumps(RLVR | given)
    assert {key: score.value for key, score in instructions(wrong, {}, truth).items()} == {name: 0}
    assert {key: score.value for key, score in instructions(right, {}, truth).items()} == {name: 1}


@pytest.mark.parametrize("truth", [None, "", "4", "[", "[{'x': 1}]", "{'func_name': 'no_such'}", "(" * 5000])
def test_a_row_without_constraints_says_what_is_accepted(truth):
    with pytest.raises(UserError, match=r"instruction_id_list|accepted: verify_keywords"):
        instructions("An answer.", {}, truth)


# Answers.


def test_strict_takes_the_answer_as_it_is_and_loose_leaves_out_a_line_or_asterisks():
    constraint = ("change_case:english_lowercase", None)
    answer = "Here you are:\nthis is my answer, all in small letters."
    assert meets(answer, *constraint) == 0
    assert meets(answer, *constraint, mode="loose") == 1


@pytest.mark.parametrize(
    "response, cut, kept",
    [
        ("a, b</think>c d", 1, 0),
        ("<think>a, b</think>c d", 1, 0),
        ("<think>c d", 0, 1),  # never ends: the answer is empty
        ("c d", 1, 1),
    ],
)
def test_reasoning_is_cut_off_by_option(response, cut, kept):
    assert meets(response, "punctuation:no_comma", cut_reasoning=True) == cut
    assert meets(response, "punctuation:no_comma") == kept


@pytest.mark.parametrize("answer", ["", "   \n", "x" * 101])
def test_an_empty_or_an_overlong_answer_meets_nothing(answer):
    assert meets(answer, "punctuation:no_comma", max_characters=100) == 0


def test_a_checker_that_raises_leaves_its_reward_missing_and_is_counted(monkeypatch):
    given = row(("format:options", {"options": "yes/no"}), ("punctuation:no_comma", None))

    def broken(self, value):
        raise KeyError("unexpected")

    monkeypatch.setattr(registry()["format:options"], "check_following", broken)
    instructions_spec = {
        "rewards": {"instructions": {}, "length": {"kwargs": {"max_length": 9, "buffer": 1}}}
    }
    scorer = Scorer(parse(RewardsConfig, instructions_spec, "reward.rvpo"))
    vector = asyncio.run(scorer.score(Sample("A long answer.", extra_info=given, response_ids=[1])))
    assert vector.of("instructions") == {
        "instructions/format:options/1": None,
        "instructions/punctuation:no_comma/2": 1,
    }
    assert vector.failures == {"instructions/format:options/1": "KeyError: 'unexpected'"}


@needs_nltk_data
@pytest.mark.parametrize("name", HOSTILE)
def test_no_answer_makes_a_checker_raise_or_take_long(name):
    """All kinds on one answer of the greatest length; the limit is ten times what the slowest machine took."""
    every = [(kind, draw(random.Random(1), 100)) for kind, draw in DRAWS.items()] + list(IFBENCH)
    begun = time.monotonic()
    scores = instructions(HOSTILE[name][:20_000], row(*every))
    assert [name for name, score in scores.items() if score.value is None] == []
    assert time.monotonic() - begun < 120


def test_the_checks_of_a_prompt_are_built_once():
    given = row(("keywords:existence", {"keywords": ["built-once"]}))
    built = []

    class Counting(registry()["keywords:existence"]):
        def build_description(self, **arguments):
            built.append(arguments)
            return super().build_description(**arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry(), "keywords:existence", Counting)
        for answer in ANSWERS:
            instructions(answer, given)
    assert len(built) == 1


# Before a training.


def test_a_configuration_that_cannot_work_is_refused():
    reward, run = Instructions(), RunContext()
    reward.validate({"mode": "loose", "cut_reasoning": True}, run)
    with pytest.raises(ConfigError, match="strict, loose"):
        reward.validate({"mode": "lose"}, run)
    with pytest.raises(ConfigError, match="at least 1"):
        reward.validate({"max_characters": 0}, run)


def test_missing_data_of_nltk_is_found_before_the_training(tmp_path):
    """In a process of its own, in which nltk finds nothing; importing the checkers asks no network for it."""
    code = """
import nltk, socket
nltk.data.path[:] = []
def refuse(*_, **__): raise AssertionError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
from rvpo_verl.errors import ConfigError
from rvpo_verl.rewards.instructions import instructions
from rvpo_verl.rewards.protocol import RunContext
assert instructions("a b", {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]})
try:
    instructions.probe({}, RunContext())
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert "punkt_tab is missing" in done.stdout and "nltk.downloader" in done.stdout, done.stderr
