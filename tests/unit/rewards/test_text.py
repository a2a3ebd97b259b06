import pytest
import torch

from rvpo_verl.rewards.text import length, regex


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(0, 0.0), (75, 0.0), (80, 0.0), (85, -0.25), (90, -0.5), (100, -1.0), (500, -1.0)],
)
def test_length_falls_from_0_to_minus_1_over_the_buffer(tokens, expected):
    assert length([7] * tokens, max_length=100, buffer=20) == expected
    assert length(torch.zeros(tokens, dtype=torch.long), max_length=100, buffer=20) == expected


def test_a_longer_response_never_scores_higher():
    scores = [length(range(tokens), max_length=30, buffer=7) for tokens in range(40)]
    assert scores == sorted(scores, reverse=True)
    assert set(scores[:24]) == {0.0} and -1 < scores[29] < 0 and set(scores[30:]) == {-1.0}


def test_a_buffer_of_1_is_a_step():
    assert [length(range(tokens), max_length=3, buffer=1) for tokens in (2, 3)] == [0.0, -1.0]


@pytest.mark.parametrize(
    ("max_length", "buffer", "named"),
    [
        (100, 0, "buffer=0, max_length=100"),
        (100, 101, "buffer=101, max_length=100"),
        (0, 1, "max_length=0"),
        ("100", 20, "max_length='100'"),
        (100, 0.2, "buffer=0.2"),
        (True, 1, "max_length=True"),
        (None, 1, "max_length=None"),
    ],
)
def test_length_refuses_lengths_that_make_no_sense_and_names_them(max_length, buffer, named):
    with pytest.raises(ValueError, match=f"{named}.*accepted"):
        length([1], max_length=max_length, buffer=buffer)


@pytest.mark.parametrize(
    ("response", "pattern", "options", "expected"),
    [
        ("the dose is 5 mg", r"\d+ mg", {}, 1.0),
        ("the dose is 5 g", r"\d+ mg", {}, 0.0),
        ("the dose is 5 mg", r"\d+ mg", {"must_match": False}, 0.0),
        ("the dose is 5 g", r"\d+ mg", {"must_match": False}, 1.0),
        ("the dose is 5 mg", r"\d+ mg", {"full": True}, 0.0),
        ("5 mg", r"\d+ mg", {"full": True}, 1.0),
        ("5 mg\n", r"\d+ mg", {"full": True}, 0.0),
        ("5 MG", r"(?i)\d+ mg", {}, 1.0),
        ("", "", {"full": True}, 1.0),
        ("\ud800\x00", r"\x00", {}, 1.0),
    ],
)
def test_regex_by_hand(response, pattern, options, expected):
    assert regex(response, pattern, **options) == expected


def test_a_pattern_that_backtracks_forever_times_out():
    with pytest.raises(TimeoutError):
        regex("a" * 60 + "!", r"(a|aa)+$", timeout_s=0.05)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", None, 3])
def test_an_invalid_pattern_is_named(pattern):
    with pytest.raises(ValueError, match=r"pattern=.*is not a regular expression") as error:
        regex("x", pattern)
    assert repr(pattern) in str(error.value)
