import contextlib
import importlib.util
import io
import itertools
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvpo_verl.rewards.tool_calling import robust, tool_call_correctness, tool_call_format
from rvpo_verl.rewards.tool_calling.parser import UnparsableError, parse_calls, same
from tests.support.paths import SHARED_DATA

DATA = SHARED_DATA / "rlla"
THOUGHT = "<think> t </think>"
MODES = ("robust", "strict")


def block(*lines: str) -> str:
    return "<tool_call>\n" + "\n".join(lines) + "\n</tool_call>"


def answer(*lines: str) -> str:
    return f"{THOUGHT}\n{block(*lines)}"


def call(name: str, **parameters) -> str:
    return json.dumps({"name": name, "parameters": parameters})


def about(score: float | None):
    return score and pytest.approx(score, abs=1e-12)


CALLS = answer(call("f", a=1, b="x"))
RESPONSE = f"{THOUGHT}\n<response> hi </response>"
BOTH = f"{CALLS}\n<response> hi </response>"


@pytest.fixture(scope="module")
def upstream():
    """(format, correctness) of verl's scorer, None where it raises; its file alone, as importing verl is slow."""
    package = importlib.util.find_spec("verl")
    file = (
        Path(package.submodule_search_locations[0]) / "utils/reward_score/rlla.py" if package else Path("-")
    )
    if not file.is_file():
        pytest.skip(f"no {file}: the installed verl has no such scorer")
    spec = importlib.util.spec_from_file_location("upstream_rlla", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def score(response, ground_truth):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                result = module.compute_score("rlla", response, ground_truth, {"experiment_name": "qwen"})
        except Exception:
            return None, None
        return result["format_reward"], result["accuracy_reward"]

    return score


@pytest.fixture(scope="module")
def rlla():
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}; RVPO_TEST_DATA names the folder that holds rlla/")
    pandas = pytest.importorskip("pandas")
    rows = [row["ground_truth"] for row in pandas.read_parquet(DATA / "test.parquet").reward_model]
    return rows + [json.loads(line)["output"] for line in (DATA / "raw.jsonl").read_text().splitlines()]


def scores(response, ground_truth, mode):
    return (
        tool_call_format(response=response, ground_truth=ground_truth, mode=mode),
        tool_call_correctness(response=response, ground_truth=ground_truth, mode=mode),
    )


TAGS = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>",
    "<|im_start|>assistant", "<|im_end|>",
]  # fmt: skip


def mutated(text: str, rng: random.Random) -> str:
    """One small change of the kind that models make."""
    tag = rng.choice(TAGS[:6])
    lines = text.split("\n")
    kind = rng.randrange(12)
    if kind == 0:
        return text.replace(tag, "", 1)
    if kind == 1:
        return text.replace(tag, tag + rng.choice(["", "\n", " "]) + tag, 1)
    if kind == 2 and len(lines) > 1:
        i, j = rng.sample(range(len(lines)), 2)
        lines[i], lines[j] = lines[j], lines[i]
        return "\n".join(lines)
    if kind == 3:
        i = rng.randrange(len(lines))
        return "\n".join(lines[: i + 1] + lines[i:])
    if kind == 4:
        old, new = rng.choice(
            [("\n", "\n\n"), ("\n", " "), ("\n", ""), (": ", ":"), (" ", "  "), ("\n", "\r\n")]
        )
        return text.replace(old, new, rng.choice([1, -1]))
    if kind == 5:
        old, new = rng.choice(
            [
                ('"parameters"', '"arguments"'),
                ('"name"', '"tool"'),
                ('{"name"', '{"name": 3, "name"'),
                ('"parameters": {', '"parameters": {"zz": NaN, '),
                ('"parameters": {', '"parameters": [{'),
            ]
        )
        return text.replace(old, new, rng.choice([1, -1]))
    if kind == 6:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 7:
        return rng.choice([" ", "\n", "x"]) + text + rng.choice([" ", "\n", "x"])
    if kind == 8:
        digit = rng.choice("0123456789")
        return text.replace(digit, rng.choice("0123456789"), rng.choice([1, -1]))
    if kind == 9:
        i = rng.randrange(len(text) + 1)
        return text[:i] + rng.choice([*TAGS, '"', "}", "]", ",", "\\", "\ud800", "\x00"]) + text[i:]
    if kind == 10:
        i = text.find('{"name"')
        return (
            text[:i] + rng.choice(["null", "[]", "3", '"f"', "{}", "[" * 3000, "1" * 5000]) + "\n" + text[i:]
        )
    return text


# --- strict -----------------------------------------------------------------------------------------------


def test_strict_equals_upstream_on_every_rlla_row_and_its_mutations(upstream, rlla):
    rng = random.Random(0)
    seen = set()
    for index, truth in enumerate(rlla):
        other = rlla[index - 1]
        responses = [truth, other, f"<|im_start|>assistant\n{truth}<|im_end|>\n{other}"]
        responses += [mutated(truth, rng) for _ in range(16)]
        responses += [mutated(mutated(truth, rng), rng) for _ in range(8)]
        pairs = [(response, truth) for response in responses]
        pairs += [(truth, mutated(truth, rng)) for _ in range(4)]
        for response, ground_truth in pairs:
            expected = upstream(response, ground_truth)
            assert scores(response, ground_truth, "strict") == expected, (response, ground_truth)
            seen.add(expected)
    # The mutations reach more than "perfect" and "garbage".
    assert len(seen) > 30 and (None, None) in seen


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from([*TAGS, "\n", "\n", " ", "x", call("f", a=1)]), max_size=14).map("".join),
    st.sampled_from([CALLS, RESPONSE, BOTH, THOUGHT, "", answer("oops"), answer("[]", "3")]),
)
def test_strict_equals_upstream_on_every_order_of_tags(upstream, response, ground_truth):
    assert scores(response, ground_truth, "strict") == upstream(response, ground_truth)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.floats() | st.sampled_from(["f", "g", "1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
objects = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from("fg") | json_values, "parameters": json_values}
)
any_calls = st.lists(objects | json_values, min_size=1, max_size=3).map(lambda v: answer(*map(json.dumps, v)))


@settings(max_examples=500, deadline=None)
@given(any_calls, any_calls)
def test_strict_equals_upstream_on_malformed_calls(upstream, response, ground_truth):
    assert scores(response, ground_truth, "strict") == upstream(response, ground_truth)
    assert scores(ground_truth, ground_truth, "strict") == upstream(ground_truth, ground_truth)


# --- what a user would expect instead of upstream's scores --------------------------------------------------

PRETTY = json.dumps(json.loads(call("f", a=1, b="x")), indent=2)
SPURIOUS = f"{THOUGHT}\n{block(call('f'))}\n<response> hi </response>"


@pytest.mark.parametrize(
    ("response", "ground_truth", "strict", "robust"),
    [
        (CALLS, CALLS, 3.0, 3.0),
        (answer(PRETTY), CALLS, -3.0, 3.0),
        (answer(f"[{call('f', a=1, b='x')}]"), CALLS, -3.0, 3.0),
        (answer(call("f"), "", call("g")), answer(call("f"), call("g")), -3.0, 3.0),
        (answer(call("f") + "," + call("g")), answer(call("f"), call("g")), -3.0, 3.0),
        (CALLS.replace("parameters", "arguments"), CALLS, -3.0, 3.0),
        # S = 1 + [1 + 1], S_max = 1 + [1 + 2]
        (answer(call("f", a="1", b="x")), CALLS, 1.5, 3.0),
        (SPURIOUS, RESPONSE, 0.0, -3.0),
        (RESPONSE, RESPONSE, 0.0, 3.0),
        (CALLS, answer("{oops"), None, None),
        # Upstream takes calls to be parameters of the thought's `<tool_call>`.
        (CALLS.replace(" t ", " a <tool_call> "), CALLS, -3.0, 3.0),
        (CALLS, CALLS.replace(" t ", " a <tool_call> "), None, 3.0),
        # S = 1/2 + [1 + 2] of 4: one call too many. Robust takes half of it, as only one of the two is needed.
        (answer(call("f", a=1, b="x"), call("g")), CALLS, 2.25, -0.375),
        # What says nothing is no response: an empty one, a thought that is not closed, another thought.
        ("", RESPONSE, 0.0, -3.0),
        (THOUGHT, RESPONSE, 0.0, -3.0),
        ("<think> I say: hi.", RESPONSE, 0.0, -3.0),
        ("<think></think>", RESPONSE, 0.0, -3.0),
        ("<think></think>\n<response> </response>", RESPONSE, 0.0, -3.0),
        (f"{THOUGHT}<response>...</response></think>", RESPONSE, 0.0, -3.0),
        (f"{THOUGHT}<think> hi", RESPONSE, 0.0, -3.0),
        ("hi", RESPONSE, 0.0, 3.0),
        ("<think></think>", THOUGHT, 0.0, 3.0),  # here the right answer says nothing
        # S = 1 + [1/2 + 1]: a parameter is missing. Then 1 + [1/3 + 1]: and another made up.
        (answer(call("f", a=1)), CALLS, 0.75, 0.75),
        (answer(call("f", a=1, c=1)), CALLS, 0.5, 0.5),
        # S = 0: a wrong tool, no call, calls that are not in a block.
        (answer(call("g", a=1, b="x")), CALLS, -3.0, -3.0),
        (RESPONSE, CALLS, -3.0, -3.0),
        (f"{THOUGHT}\n{call('f', a=1, b='x')}", CALLS, -3.0, -3.0),
        ("", CALLS, -3.0, -3.0),
    ],
)
def test_correctness_by_hand(response, ground_truth, strict, robust):
    assert tool_call_correctness(response, ground_truth, mode="strict") == about(strict)
    assert tool_call_correctness(response, ground_truth) == about(robust)


@pytest.mark.parametrize(
    "body",
    [
        f"```json\n{call('f', a=1, b='x')}\n```",
        f"```\n[{PRETTY}]\n```",
        '{"type": "function", "function": {"name": "f", "arguments": "{\\"a\\": 1, \\"b\\": \\"x\\"}"}}',
        '{"id": 7, "name": " f ", "parameters": {"b": " x\n", "a": 1.0}}',
        '{"name": "f", "parameters": {"a": 2, "a": 1, "b": "x"}}',
    ],
)
def test_robust_reads_what_a_tolerant_client_would(body):
    assert tool_call_correctness(f"{THOUGHT} <tool_call>{body}</tool_call>", CALLS) == 3.0


@pytest.mark.parametrize(
    "parameters", ["", ', "parameters": null', ', "arguments": " "', ', "arguments": "{}"']
)
def test_robust_takes_absent_parameters_for_none(parameters):
    assert tool_call_correctness(answer('{"name": "f"' + parameters + "}"), answer(call("f"))) == 3.0


def test_robust_joins_several_blocks():
    response = f"{THOUGHT}\n{block(call('g'))}\n{block(call('f', a=1))}"
    assert tool_call_correctness(response, answer(call("f", a=1), call("g"))) == 3.0


@pytest.mark.parametrize(
    "bad",
    [
        block("{oops"), block("3"), block("[[]]"), block('{"name": 3}'), block('{"name": "f", "parameters": [1]}'),
        block('{"name": "f", "arguments": "1"}'), block('{"function": "f"}'), block("```"), "<tool_call>",
        "<tool_call>\n{",
    ],
)  # fmt: skip
def test_one_bad_block_spoils_the_answer(bad):
    assert tool_call_correctness(f"{CALLS}\n{bad}", CALLS) == -3.0
    assert tool_call_correctness(f"{THOUGHT}{bad}\n{block(call('f', a=1, b='x'))}", CALLS) == -3.0


@pytest.mark.parametrize(
    ("expected", "given_", "equal"),
    [
        (1, "1", True), (1, 1.0, True), ("1", 1.0, True), ("1.0", 1, True), (1, " 1 ", True), (1, True, False),
        (1.0, True, False), (0, False, False), ("1", True, False), (True, "true", True), (True, "1", False),
        (True, "True", True), (False, " False", True), (True, "False", False), (None, "None", True),
        (1, "True", False), ([True, 2], ["True", "2"], True), ("true", "True", False),
        (True, "yes", False), (None, "null", True), (None, 0, False), (None, "", False), ("a", " a\n", True),
        ("a", "A", False), ("1.10", "1.1", False), ("007", 7, False), ("1", "1.0", False), ("", 0, False),
        ([1, [2]], ["1", [2.0]], True), ([1, 2], [2, 1], False), ([1], [1, 1], False), ([1], [True], False),
        ({"a": [1]}, {"a": ["1"]}, True), ({"a": 1}, {"b": 1}, False), ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1], "[1]", True), ({}, [], False), ([], "", False), ('"a"', "a", False), (2**70, str(2**70), True),
        (2**53 + 1, float(2**53), False), (1, "1 1", False), (1, "1" * 5000, False),
    ],
)  # fmt: skip
def test_values_that_are_the_same_by_hand(expected, given_, equal):
    assert same(expected, given_) is equal
    assert same(given_, expected) is equal


def read(text, exact):
    try:
        return repr(parse_calls(text, limit=66, exact=exact))  # the text of 1, 1.0 and True differs
    except UnparsableError:
        return None


def test_the_fast_reader_reads_what_the_exact_one_does(rlla):
    rng = random.Random(2)
    for truth in rlla:
        for text in (truth, mutated(truth, rng), mutated(mutated(truth, rng), rng)):
            text = text.partition("</think>")[2]
            assert read(text, exact=False) == read(text, exact=True), text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.deferred(lambda: objects | json_values), min_size=1, max_size=3),
    st.sampled_from(["\n", ", ", "\n\n", "\u2028"]),
)
def test_the_fast_reader_reads_any_json_as_the_exact_one(values, between):
    text = block(between.join(map(json.dumps, values)))
    assert read(text, exact=False) == read(text, exact=True)


def test_of_long_integers_no_digit_is_lost():
    truth = answer(call("f", a=2**64 + 1))
    assert tool_call_correctness(answer(call("f", a=2**64 + 1).replace(": ", ":")), truth) == 3.0
    assert tool_call_correctness(answer(call("f", a=2**64 + 2)), truth) == 1.0  # S = 1 + 1 of 3


def test_not_a_number_is_itself():
    (one,) = parse_calls('<tool_call>{"name": "f", "parameters": {"a": NaN}}</tool_call>')
    (other,) = parse_calls('<tool_call>{"name": "f", "parameters": {"a": NaN}}</tool_call>')
    assert same(one, other)


# --- format ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ground_truth", [CALLS, RESPONSE, BOTH, THOUGHT])
def test_format_asks_for_exactly_the_parts_of_the_ground_truth(ground_truth, mode):
    for response in (CALLS, RESPONSE, BOTH, THOUGHT):
        assert tool_call_format(response, ground_truth, mode) == (response == ground_truth)


@pytest.mark.parametrize(
    ("response", "ground_truth", "strict", "robust"),
    [
        (CALLS.replace("\n", " "), CALLS, 0, 1),
        (CALLS.replace("\n", ""), CALLS, 0, 1),
        (BOTH.replace("\n", "\r\n\n"), BOTH, 0, 1),
        (CALLS.replace(" t ", " a <tool_call>, no <response> "), CALLS, 0, 1),
        (CALLS, CALLS.replace(" t ", " no <response> needed "), 0, 1),
        (f"<|im_start|>assistant\n{CALLS}<|im_end|>", CALLS, 1, 1),
        # Upstream wants two different line breaks, and takes a parameter's text for a part.
        (f"{THOUGHT}\n<tool_call>\n</tool_call>", CALLS, 0, 1),
        (answer(call("f", a="<response>")), answer(call("f", a="<response>")), 0, 1),
        # A thought hides nothing twice: what follows the first `</think>` must be the parts and no more.
        (CALLS.replace("\n", " x </think>\n", 1), CALLS, 1, 0),
        (RESPONSE.replace(" hi ", block(call("f"))), RESPONSE, 1, 0),
        (CALLS.removeprefix("<think>"), CALLS, 0, 0),
        (CALLS.replace("</think>", ""), CALLS, 0, 0),
        (CALLS + " x", CALLS, 0, 0),
        (CALLS.replace("\n", "\nx\n", 1), CALLS, 0, 0),
        (CALLS + block(), CALLS, 0, 0),
        (CALLS.replace("</tool_call>", ""), CALLS, 0, 0),
        (f"{THOUGHT}\n</tool_call>\n<tool_call>", CALLS, 0, 0),
        (RESPONSE + "</response>", RESPONSE, 0, 0),
        (RESPONSE + "\n" + block(call("f")), BOTH, 0, 0),
        ("", THOUGHT, 0, 0),
    ],
)
def test_format_by_hand(response, ground_truth, strict, robust):
    expected = strict, robust
    assert tuple(tool_call_format(response, ground_truth, mode) for mode in ("strict", "robust")) == expected


# --- invariants --------------------------------------------------------------------------------------------


def test_every_rlla_ground_truth_is_its_own_perfect_answer(rlla):
    for truth in rlla:
        assert scores(truth, truth, "robust") == (1.0, 3.0), truth
        # Read, not recognised by its text.
        assert scores(truth.replace('{"name"', '{ "name"'), truth, "robust") == (1.0, 3.0), truth


def test_robust_finds_perfect_what_upstream_does_if_the_thought_is_closed_and_the_block_is_one(
    upstream, rlla
):
    rng = random.Random(1)
    for truth in rlla:
        for _ in range(4):
            response = mutated(truth, rng)
            rest = response.partition("</think>")[2]
            whole = rest.count("<tool_call>") == rest.count("</tool_call>") == 1
            if whole and upstream(response, truth)[1] == 3.0:
                assert tool_call_correctness(response, truth) == 3.0, (response, truth)


parameters = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=3)
calls = st.lists(st.tuples(st.sampled_from("fg"), parameters), min_size=1, max_size=4)


def written(pairs) -> str:
    return answer(*(call(name, **values) for name, values in pairs))


def slow_correctness(given_calls, expected):
    """The formula as it stands, trying every matching."""

    def jaccard(left, right):
        left, right = list(left), list(right)
        if not left and not right:
            return 1.0
        shared = sum(min(left.count(item), right.count(item)) for item in set(left))
        return shared / (len(left) + len(right) - shared)

    def gain(ours, theirs):
        if theirs is None or ours[0] != theirs[0]:
            return 0.0
        equal = sum(name in theirs[1] and theirs[1][name] == value for name, value in ours[1].items())
        return (jaccard(ours[1], theirs[1]) + equal) * (
            1 if len(theirs[1]) <= len(ours[1]) else len(ours[1]) / len(theirs[1])
        )

    padded = [*given_calls, *[None] * len(expected)]
    best = max(sum(map(gain, expected, chosen)) for chosen in itertools.permutations(padded, len(expected)))
    score = jaccard([name for name, _ in expected], [name for name, _ in given_calls]) + best
    score *= min(1, len(expected) / max(1, len(given_calls)))
    return 6 * score / (1 + sum(1 + len(values) for _, values in expected)) - 3


@settings(max_examples=150, deadline=None)
@given(calls, calls)
def test_robust_is_the_formula_with_the_best_of_all_matchings(given_calls, expected):
    score = tool_call_correctness(written(given_calls), written(expected))
    assert score == pytest.approx(slow_correctness(given_calls, expected), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(calls, calls, st.randoms(use_true_random=False))
def test_order_of_calls_and_parameters_does_not_matter(given_calls, expected, rng):
    score = tool_call_correctness(written(given_calls), written(expected))
    shuffled = [
        (name, dict(rng.sample(list(values.items()), len(values))))
        for name, values in rng.sample(given_calls, len(given_calls))
    ]
    truth = rng.sample(expected, len(expected))
    assert tool_call_correctness(written(shuffled), written(truth)) == pytest.approx(score, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(calls, calls)
def test_robust_never_scores_below_upstreams_greedy_matching_unless_something_is_too_much(
    given_calls, expected
):
    few = min(len(values) for _, values in expected)
    given_calls = [(name, dict([*values.items()][:few])) for name, values in given_calls[: len(expected)]]
    response, truth = written(given_calls), written(expected)
    strict = tool_call_correctness(response, truth, mode="strict")
    assert tool_call_correctness(response, truth) >= strict - 1e-9


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.randoms(use_true_random=False))
def test_matching_is_the_best_of_all_permutations(rows, columns, rng):
    gains = [[rng.choice([0.0, 0.5, 1.0, 2.0, rng.random()]) for _ in range(columns)] for _ in range(rows)]
    padded = [row + [0.0] * rows for row in gains]
    best = max(
        sum(padded[row][column] for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(columns + rows), rows)
    )
    assert robust.best_matching(gains) == pytest.approx(best, abs=1e-12)


# --- reward hacking ----------------------------------------------------------------------------------------


def parts(guesses, size):
    """The answers that consist of `size` of the guesses."""
    return [answer(*chosen) for chosen in itertools.combinations(guesses, size)]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_more_calls_than_needed_never_pay_whatever_is_believed(data):
    """Ground truths of up to two calls, each with a belief, and answers of three to five calls about them.

    Tools, values and the number of calls may all be doubtful.
    """
    known = st.tuples(
        st.sampled_from("fg"), st.fixed_dictionaries({"a": st.integers(0, 2), "b": st.integers(0, 2)})
    )
    truths = data.draw(st.lists(st.lists(known, min_size=1, max_size=2), min_size=1, max_size=5))
    belief = data.draw(st.lists(st.floats(0.01, 1), min_size=len(truths), max_size=len(truths)))
    guesses = [call(name, **values) for name, values in data.draw(st.lists(known, min_size=3, max_size=5))]

    def expected(response):
        found = [tool_call_correctness(response, written(truth)) for truth in truths]
        return sum(p * score for p, score in zip(belief, found, strict=True)) / sum(belief)

    for needed in range(max(map(len, truths)), len(guesses)):
        assert expected(answer(*guesses)) <= max(map(expected, parts(guesses, needed))) + 1e-9


@settings(max_examples=300, deadline=None)
@given(calls, st.lists(calls.map(lambda pairs: pairs[0]), min_size=2, max_size=6))
def test_an_answer_scores_at_most_the_mean_of_its_parts_with_as_many_calls_as_needed(expected, guesses):
    truth, lines = written(expected), [call(name, **values) for name, values in guesses]
    for needed in range(len(expected), len(lines)):
        whole = tool_call_correctness(answer(*lines), truth)
        of_parts = [tool_call_correctness(part, truth) for part in parts(lines, needed)]
        assert whole <= sum(of_parts) / len(of_parts) + 1e-9


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2), min_size=2, max_size=5),
)
def test_a_call_scores_at_most_the_mean_of_its_parts_with_as_many_parameters_as_needed(expected, guessed):
    """So that no belief about names and values makes more parameters than needed pay."""
    truth = answer(call("f", **expected))
    for needed in range(len(expected), len(guessed)):
        scores = [
            tool_call_correctness(answer(call("f", **dict(chosen))), truth)
            for chosen in itertools.combinations(guessed.items(), needed)
        ]
        whole = tool_call_correctness(answer(call("f", **guessed)), truth)
        assert whole <= sum(scores) / len(scores) + 1e-9


def test_on_rllas_rows_two_names_of_a_parameter_beat_one_in_strict_and_never_in_robust(rlla):
    rows, hacked = 0, {"strict": 0, "robust": 0}
    for text in rlla:
        expected = parse_calls(text.partition("</think>")[2])
        if len(expected) != 1 or not expected[0][1]:
            continue
        name, values = expected[0]
        first = next(iter(values))
        rest = {key: value for key, value in values.items() if key != first}
        other = {"another name": values[first]} | rest
        rows += 1
        for mode in hacked:
            one, two, both = (
                tool_call_correctness(
                    answer(json.dumps({"name": name, "parameters": given})),
                    answer(json.dumps({"name": name, "parameters": values})),
                    mode,
                )
                for given in (values, other, other | values)
            )
            hacked[mode] += both > (one + two) / 2 + 1e-9
    assert rows > 100
    assert hacked["strict"] == rows
    assert hacked["robust"] == 0


def in_turns(*texts):
    """What the model wrote in each turn, with what a tool returned after it."""
    return [
        message
        for text in texts
        for message in ({"role": "assistant", "content": text}, {"role": "tool", "content": CALLS})
    ]


@settings(max_examples=100, deadline=None)
@given(calls, calls)
def test_calls_of_several_turns_score_as_those_of_one(given_calls, expected):
    truth, lines = written(expected), [call(name, **values) for name, values in given_calls]
    turns = in_turns(*map(answer, lines), RESPONSE)
    assert tool_call_correctness("", truth, turns=turns) == tool_call_correctness(answer(*lines), truth)


@pytest.mark.parametrize(
    ("texts", "score"),
    [
        ((), -3.0),
        (("",), -3.0),
        ((RESPONSE,), 3.0),
        ((RESPONSE, ""), -3.0),  # the last turn is the answer
        (("", RESPONSE), 3.0),
        ((CALLS, RESPONSE), -3.0),
    ],
)
def test_of_several_turns_the_last_one_has_to_say_something_where_a_response_is_right(texts, score):
    assert tool_call_correctness("", RESPONSE, turns=in_turns(*texts)) == score


def guesses_of(parameters, doubtful, each):
    """All combinations of `each` values, of which the last is the right one, for the doubtful parameters."""
    values = [[f"guess {n}" for n in range(each - 1)] + [parameters[name]] for name in doubtful]
    return [parameters | dict(zip(doubtful, chosen, strict=True)) for chosen in itertools.product(*values)]


@pytest.mark.parametrize("each", [2, 8])
def test_on_rllas_rows_every_guess_beats_one_in_strict_and_never_in_robust(rlla, each):
    """Two parameters of one call are doubtful, every combination of `each` values equally likely."""
    rows, hacked = 0, {"strict": 0, "robust": 0}
    for text in rlla:
        expected = parse_calls(text.partition("</think>")[2])
        index = next((i for i, (_, values) in enumerate(expected) if len(values) >= 2), None)
        if index is None:
            continue
        name, values = expected[index]
        doubtful = list(values)[:2]
        others = [
            json.dumps({"name": other, "parameters": given})
            for i, (other, given) in enumerate(expected)
            if i != index
        ]
        guesses = [
            json.dumps({"name": name, "parameters": one}) for one in guesses_of(values, doubtful, each)
        ]
        # By symmetry every combination may stand for the right one, so one ground truth and each guess is enough.
        rows += 1
        truth = answer(*others, guesses[-1])
        for mode in hacked:
            one = [tool_call_correctness(answer(*others, guess), truth, mode) for guess in guesses]
            every = tool_call_correctness(answer(*others, *guesses), truth, mode)
            hacked[mode] += every > sum(one) / len(one) + 1e-9
    assert rows > 150
    assert hacked["strict"] > 0.9 * rows
    assert hacked["robust"] == 0


@settings(max_examples=100, deadline=None)
@given(calls, calls)
def test_calls_beyond_the_right_ones_lower_the_score(expected, extra):
    perfect = tool_call_correctness(written(expected), written(expected))
    assert perfect == 3.0
    previous = perfect
    for count in range(1, len(extra) + 1):
        score = tool_call_correctness(written([*extra[:count], *expected]), written(expected))
        assert score < previous
        previous = score


def test_repeating_the_right_call_lowers_the_score_each_time():
    right = call("f", a=1, b="x")
    values = [
        tool_call_correctness(answer(*[right] * n), CALLS) for n in range(1, robust.MAX_EXTRA_CALLS + 2)
    ]
    assert values[0] == 3.0
    assert all(later < earlier for earlier, later in itertools.pairwise(values))
    # S = (1/65 + 3) / 65 of 4; one more and the answer is not read.
    assert values[-1] == pytest.approx(6 * (1 / 65 + 3) / 65 / 4 - 3)
    for lines in ([right] * 66, [f"[{','.join([right] * 66)}]"]):
        assert tool_call_correctness(answer(*lines), CALLS) == -3.0
    assert tool_call_correctness(THOUGHT + block(right) * 66, CALLS) == -3.0
    assert tool_call_correctness(THOUGHT + block() * 64 + block(right), CALLS) == 3.0
    assert tool_call_correctness(THOUGHT + block() * 65 + block(right), CALLS) == -3.0


def test_a_ground_truth_may_have_more_calls_than_the_bound():
    many = answer(*[call("f", a=i) for i in range(100)])
    assert tool_call_correctness(many.replace("{", "{ "), many) == 3.0


def test_calling_every_tool_is_worse_than_calling_the_right_one():
    every = answer(*(call(name, a=1, b="x") for name in "fghijklmn"))
    assert tool_call_correctness(every, CALLS) < tool_call_correctness(CALLS, CALLS) - 1


def test_calls_in_the_thought_earn_nothing():
    hidden = f"<think> {block(call('f', a=1, b='x'))} </think>"
    assert tool_call_correctness(hidden, CALLS) == -3.0
    assert tool_call_correctness(hidden.removesuffix("</think>"), CALLS) == -3.0
    assert tool_call_correctness(hidden + RESPONSE.removeprefix(THOUGHT), RESPONSE) == 3.0


@pytest.mark.parametrize("spurious", [block(call("f")), block("oops"), "<tool_call>"])
def test_no_call_hides_in_a_response(spurious):
    response = RESPONSE.replace(" hi ", spurious)
    assert scores(response, RESPONSE, "robust") == (0.0, -3.0)


# --- anything in -------------------------------------------------------------------------------------------

anything = st.text(st.characters(exclude_categories=()), max_size=60)
pieces = st.sampled_from(
    [*TAGS, "\n", "```", "{", "[", '"', ":", "\\u12", "\\", "1e999", "NaN", call("f", a=1)]
)
soups = anything | st.lists(pieces | anything, max_size=12).map("".join)


@settings(max_examples=500, deadline=None)
@given(soups, soups | st.sampled_from([CALLS, RESPONSE, BOTH]), st.sampled_from(MODES))
def test_any_text_is_scored_in_range_and_never_raises(response, ground_truth, mode):
    keeps_format, correctness = scores(response, ground_truth, mode)
    assert keeps_format in (None, 0.0, 1.0)
    assert correctness is None or -3.0 <= correctness <= 3.0
    if ground_truth in (CALLS, RESPONSE, BOTH):
        assert keeps_format is not None and correctness is not None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ground_truth", [None, 42, 1.5, [CALLS], {"ground_truth": CALLS}, CALLS.encode()])
def test_a_ground_truth_that_is_no_string_is_missing(ground_truth, mode):
    assert scores(CALLS, ground_truth, mode) == (None, None)


@pytest.mark.parametrize("ground_truth", ["", "42", "<think> cut off", call("f", a=1, b="x")])
def test_a_ground_truth_of_another_format_is_missing(ground_truth):
    assert scores(CALLS, ground_truth, "robust") == (None, None)


@pytest.mark.parametrize("body", ["", "[]", "{oops", "[" * 100_000, "1" * 5000])
def test_calls_of_a_ground_truth_that_cannot_be_read_are_missing_but_its_format_is_not(body):
    assert scores(CALLS, answer(body), "robust") == (1.0, None)


def test_an_unknown_mode_is_refused_with_the_accepted_ones():
    for reward in (tool_call_format, tool_call_correctness):
        with pytest.raises(ValueError, match=r"'loose'.*robust, strict"):
            reward(CALLS, CALLS, mode="loose")


HOSTILE = {
    "openers": lambda n: THOUGHT + "<tool_call>" * (n // 11),
    "closers": lambda n: THOUGHT + "</tool_call>" * (n // 12),
    "blocks": lambda n: THOUGHT + "<tool_call></tool_call>" * (n // 23),
    "thoughts": lambda n: "<think>" * (n // 7),
    "ends of thought": lambda n: "<think>" + "</think>\n<tool_call>\n" * (n // 21),
    "responses": lambda n: THOUGHT + "\n<response>" * (n // 11),
    "brackets": lambda n: answer("[" * n),
    "closed brackets": lambda n: answer("[" * (n // 2) + "]" * (n // 2)),
    "objects": lambda n: answer('{"a":' * (n // 5)),
    "small calls": lambda n: answer(*['{"name":"f"}'] * (n // 13)),
    "list of calls": lambda n: answer("[" + ",".join(['{"name":"f"}'] * (n // 13)) + "]"),
    "digits": lambda n: answer(f'{{"name":"f","parameters":{{"a":{"1" * n}}}}}'),
    "decimals": lambda n: answer(f'{{"name":"f","parameters":{{"a":1.{"1" * n}}}}}'),
    "string of digits": lambda n: answer(call("f", a="1" * n)),
    "string": lambda n: answer(call("f", b="x" * n)),
    "escapes": lambda n: answer(call("f", b="\\" * (n // 2))),
    "string in a string": lambda n: answer(json.dumps({"name": "f", "arguments": json.dumps({"b": "\\" * (n // 8)})})),
    "parameters": lambda n: answer(json.dumps({"name": "f", "parameters": dict.fromkeys(map(str, range(n // 10)))})),
    "spaces": lambda n: THOUGHT + "\n" + block(" " * n + "x" + "\n" * n),
    "commas": lambda n: answer(", " * (n // 2)),
    "fences": lambda n: answer("`" * n),
    "turns": lambda n: "<|im_start|>assistant" * (n // 21),
    "surrogates": lambda n: answer("\ud800" * n),
    "zeros": lambda n: answer("\x00" * n),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_cost_is_linear_in_the_length_of_the_answer(text, mode):
    def seconds(response):
        started = time.process_time()
        scores(response, BOTH, mode)
        return time.process_time() - started

    short, long = text(50_000), text(400_000)
    seconds(short)
    ratio_floor = 2e-3  # seconds, where the clock and the allocator decide
    times = [min(seconds(response) for _ in range(5)) for response in (short, long)]
    # 8 if linear, 64 if quadratic; caches alone make 20 of it.
    assert times[1] < 40 * max(times[0], ratio_floor)


def test_a_ground_truth_is_read_once_for_all_answers_of_its_group(monkeypatch):
    read = []
    monkeypatch.setattr(robust, "parse_calls", lambda text, **_: read.append(text) or [])
    truth = answer(call("only here", a=1))
    for _ in range(4):
        tool_call_correctness(RESPONSE, truth)
    assert len(read) == 1


def test_parsing_says_what_is_wrong():
    with pytest.raises(UnparsableError, match="block 1 is not closed"):
        parse_calls("<tool_call>{}")
