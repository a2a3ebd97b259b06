"""Whole preparations of generated data with every defect that is known of the published."""

import json
from collections import Counter

import pytest

from rvpo_verl.data.options import Ambiguous, Duplicates, Options, Shape, Weights, parse_openings
from rvpo_verl.data.polarity import GOOD, Wording, read_wording
from rvpo_verl.data.prepare import inspect_rows, prepare
from rvpo_verl.data.rows import rubric
from rvpo_verl.data.sources import Source, from_file
from tests.support.paths import SHARED_DATA
from tests.support.published import criterion, healthbench, rar

HEALTHBENCH = SHARED_DATA / "healthbench/sample.jsonl"


def source(rows, name="rows.jsonl"):
    return Source(name, enumerate(rows, start=1))


def prepared(*rows, shape=Shape.rar, splits=None, **options):
    splits = {"train": rows, **(splits or {})} if rows else splits
    sources = {split: source(given, f"{split}.jsonl") for split, given in splits.items()}
    return prepare("mine", shape, sources, Options(**options))


def criteria(*given, **options):
    """The criteria that come out of one prompt."""
    return rubric(prepared(rar("?", *given), **options).splits["train"][0])


def kinds(result):
    return {kind: finding.count for kind, finding in result.findings.by_kind.items()}


# --- rows -----------------------------------------------------------------------------------------------


def test_a_row_of_rar_becomes_a_row_for_verl():
    given = rar(
        "How much?",
        criterion("Essential Criteria: States 5 mg.", 5, title="Dose"),
        criterion("Pitfall Criteria: Does not mention the interval.", -1),
        answer="5 mg, once",
    )
    assert prepared(given).splits == {
        "train": [
            {
                "data_source": "mine",
                "prompt": [{"role": "user", "content": "How much?"}],
                "ability": "rubric",
                "reward_model": {"style": "rubric", "ground_truth": "5 mg, once"},
                "extra_info": {
                    "split": "train",
                    "index": 0,
                    "rubric": [
                        {
                            "criterion": "States 5 mg.",
                            "title": "Dose",
                            "category": "essential",
                            "weight": 1.0,
                            "polarity": 1,
                            "levels": 1,
                            "judge": "",
                        },
                        {
                            "criterion": "Does not mention the interval.",
                            "title": "A title",
                            "category": "pitfall",
                            "weight": 0.9,
                            "polarity": -1,
                            "levels": 1,
                            "judge": "",
                        },
                    ],
                    "id": "",
                    "source": "exam",
                },
            }
        ]
    }


def test_the_same_negative_weight_is_good_in_sciences_wording_and_bad_in_medicines():
    science, medicine = criteria(
        criterion("Pitfall Criteria: Avoids mixing up the units.", -1),
        criterion("Pitfall Criteria: Does not mention the dose.", -1),
    )
    assert (science["polarity"], medicine["polarity"]) == (1, -1)
    assert science["weight"] == medicine["weight"] == 0.9


def test_a_positive_weight_is_good_if_true_however_it_is_worded():
    texts = ("Does not mention aspirin.", "Neglects friction.", "Avoids aspirin.", "States 5 mg.")
    for category in ("Essential", "Important", "Optional"):
        given = [criterion(f"{category} Criteria: {text}", 3) for text in texts]
        assert [each["polarity"] for each in criteria(*given)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, [1.0, 0.7, 0.3, 0.9]),
        (Weights.importance, [1.0, 0.7, 0.3, 0.9]),
        (Weights.row, [5.0, 4.0, 1.0, 2.0]),
        (Weights.equal, [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_weights_are_never_negative_and_come_from_what_was_chosen(weights, expected):
    given = [("Essential", 5), ("Important", 4), ("Optional", 1), ("Pitfall", -2)]
    given = [criterion(f"{category} Criteria: Fails at {weight}.", weight) for category, weight in given]
    assert [each["weight"] for each in criteria(*given, weights=weights)] == expected


def test_a_row_of_healthbench_keeps_messages_points_and_axis():
    given = healthbench("?", 8, -5, 0)
    given["prompt"] = [{"role": "assistant", "content": "Hello"}, *given["prompt"]]
    given["rubrics"][2]["tags"] = []
    row = prepared(shape=Shape.healthbench, splits={"test": [given]}).splits["test"][0]
    assert row["prompt"] == given["prompt"]
    assert row["reward_model"] == {"style": "rubric", "ground_truth": ""}
    assert row["extra_info"]["id"] == "a-b-c"
    assert [(each["weight"], each["polarity"], each["category"]) for each in rubric(row)] == [
        (8.0, 1, "accuracy"),
        (5.0, -1, "accuracy"),
        (0.0, 1, ""),
    ]


def test_healthbenchs_sign_decides_and_its_wording_does_not():
    given = healthbench("?", 5, -5)
    given["rubrics"][0]["criterion"] = "Fails to mention the dose."
    given["rubrics"][1]["criterion"] = "Avoids aspirin."
    result = prepared(shape=Shape.healthbench, splits={"test": [given]})
    assert [each["polarity"] for each in rubric(result.splits["test"][0])] == [1, -1]
    doubtful = result.findings.by_kind["points_doubtful"]
    assert (doubtful.count, doubtful.example) == (1, "Avoids aspirin.")


# --- what is wrong with the data ------------------------------------------------------------------------


def test_every_known_defect_of_the_published_data_is_counted_with_its_first_example_and_handled():
    defects = rar(
        "How  MUCH?",
        criterion("Esssential Criteria: States 5 mg.", 5),
        criterion("Importance Criteria: Explains why.", 4),
        criterion("Universal Criteria: Is polite.", 3),
        criterion("Names the source.", 1),
        criterion("Warns of the interaction.", 5),
        criterion("Omits the unit.", -1),
        criterion("Essential Criteria:", 5),
        criterion("Optional Criteria: states  5 MG", 1),
        criterion("Pitfall Criteria: Does not suggest surgery.", -1),
        criterion("Pitfall Criteria: Does not recommend rest.", -1),
        criterion("Important Criteria: Gives the dose.", -2),
        rubric_count=7,
    )
    result = prepared(
        defects,
        rar("how much?"),
        rar("Also in test."),
        rar("Also in val."),
        rar("Nothing is left?", criterion("Pitfall Criteria: Does not suggest X.", -1)),
        splits={
            "val": [rar("also in val"), rar("in both")],
            "test": [rar("Also in test."), rar("In both"), rar("In both.")],
        },
    )
    assert kinds(result) == {
        "rubric_count": 1,
        "category_misspelled": 2,
        "category_unknown": 1,
        "category_missing": 3,
        "criterion_empty": 1,
        "criterion_repeated": 1,
        "polarity_unclear": 3,
        "polarity_contradiction": 1,
        "rubric_empty": 1,
        "prompt_repeated_train": 1,
        "prompt_repeated_test": 1,
        "prompt_evaluated": 2,
        "prompt_in_val_and_test": 1,
    }
    told = result.findings.by_kind
    assert (told["category_misspelled"].where, told["category_misspelled"].example) == (
        "train.jsonl, row 1, rubric.0",
        "Esssential Criteria: States 5 mg.",
    )
    assert told["polarity_unclear"].example == "Does not suggest surgery."
    assert told["prompt_evaluated"].where == "train.jsonl, row 3"

    (row,) = result.splits["train"]
    assert row["prompt"][0]["content"] == "How  MUCH?"
    assert [(each["criterion"], each["category"], each["polarity"]) for each in rubric(row)] == [
        ("States 5 mg.", "essential", 1),
        ("Explains why.", "important", 1),
        ("Is polite.", "important", 1),
        ("Names the source.", "optional", 1),
        ("Warns of the interaction.", "essential", 1),
        ("Omits the unit.", "pitfall", -1),
    ]
    assert {split: len(rows) for split, rows in result.splits.items()} == {"train": 1, "val": 2, "test": 3}
    assert result.rows_read == {"train": 5, "val": 2, "test": 3}


def test_clean_data_has_no_findings():
    assert kinds(prepared(rar("a"), rar("b"), splits={"test": [rar("c")]})) == {}


def test_an_index_is_the_place_in_the_source_whatever_was_dropped():
    rows = prepared(rar("a"), rar("a"), rar("b")).splits["train"]
    assert [row["extra_info"]["index"] for row in rows] == [0, 2]


UNCLEAR = criterion("Pitfall Criteria: Does not suggest surgery.", -1)


@pytest.mark.parametrize(
    ("ambiguous", "polarities"),
    [(Ambiguous.drop, [1]), (Ambiguous.good, [1, 1]), (Ambiguous.bad, [1, -1])],
)
def test_an_ambiguous_pitfall_is_handled_as_stated_and_always_told(ambiguous, polarities):
    result = prepared(rar("?", criterion("Essential Criteria: x"), UNCLEAR), ambiguous=ambiguous)
    assert [each["polarity"] for each in rubric(result.splits["train"][0])] == polarities
    assert kinds(result) == {"polarity_unclear": 1}


def test_an_ambiguous_pitfall_can_be_an_error_that_says_where_and_what_to_do():
    with pytest.raises(ValueError, match=r"train\.jsonl, row 1, rubric\.1: .Does not suggest.*--polarity"):
        criteria(criterion("Essential Criteria: x"), UNCLEAR, ambiguous=Ambiguous.error)


@pytest.mark.parametrize(("written", "polarity"), [("does  not SUGGEST=good", 1), ("Does not = BAD", -1)])
def test_a_user_says_what_an_opening_means(written, polarity):
    openings = parse_openings([written])
    result = prepared(rar("?", criterion("Essential Criteria: x"), UNCLEAR), openings=openings)
    assert rubric(result.splits["train"][0])[1]["polarity"] == polarity
    assert kinds(result) == {}


def test_an_opening_that_no_pitfall_has_is_told():
    result = prepared(rar("?"), openings=parse_openings(["Dose not suggest=good"]))
    assert result.findings.by_kind["opening_unused"].example == "dose not suggest"


@pytest.mark.parametrize("written", ["Does not", "=good", "Does not=yes", "Does not suggest=1"])
def test_an_opening_of_another_form_is_an_error(written):
    with pytest.raises(ValueError, match="expected WORDS=good or WORDS=bad"):
        parse_openings([written])


@pytest.mark.parametrize("polarity", [1, -1])
def test_a_row_that_says_its_polarity_is_believed(polarity):
    given = {**UNCLEAR, "polarity": polarity}
    options = {"openings": {"does not": -polarity}, "ambiguous": Ambiguous.error}
    assert [each["polarity"] for each in criteria(given, **options)] == [polarity]


def test_duplicates_are_told_and_kept_if_the_user_wants_them():
    twice = rar("a", criterion("Essential Criteria: x"), criterion("Optional Criteria: X.", 1))
    result = prepared(twice, rar("a"), splits={"test": [rar("A")]}, duplicates=Duplicates.keep)
    assert len(result.splits["train"]) == 2
    assert len(rubric(result.splits["train"][0])) == 2
    assert kinds(result) == {"criterion_repeated": 1, "prompt_repeated_train": 1, "prompt_evaluated": 2}


def test_evaluation_splits_keep_their_repetitions():
    twice = rar("a", criterion("Essential Criteria: x"), criterion("Optional Criteria: X.", 1))
    rows = prepared(splits={"test": [twice, twice]}).splits["test"]
    assert [len(rubric(row)) for row in rows] == [2, 2]


def test_prompts_that_differ_in_an_earlier_message_are_not_the_same():
    first, second = healthbench("And now?"), healthbench("And now?")
    second["prompt"] = [{"role": "system", "content": "Be brief."}, *second["prompt"]]
    assert kinds(prepared(shape=Shape.healthbench, splits={"test": [first, second]})) == {}


def test_a_split_of_which_nothing_is_left_is_an_error_that_says_why():
    with pytest.raises(ValueError, match=r"train\.jsonl: no row is left for train \(.*either way: 1"):
        prepared(rar("?", UNCLEAR))
    with pytest.raises(ValueError, match=r"no row is left for train \(it has none\)"):
        prepared(splits={"train": []})


# --- benchmarks -----------------------------------------------------------------------------------------


def test_a_benchmark_is_not_trained_on_unless_asked_explicitly():
    with pytest.raises(ValueError, match=r"HealthBench is a benchmark.*--benchmark-as-train"):
        prepared(healthbench(), shape=Shape.healthbench)
    result = prepared(healthbench(), shape=Shape.healthbench, benchmark_as_train=True)
    assert len(result.splits["train"]) == 1


@pytest.mark.parametrize("options", [{"weights": Weights.importance}, {"openings": {"avoids": 1}}])
def test_options_that_mean_nothing_for_healthbench_are_refused(options):
    with pytest.raises(ValueError, match=r"--(weights importance|polarity).*HealthBench"):
        prepared(shape=Shape.healthbench, splits={"test": [healthbench()]}, **options)


@pytest.mark.skipif(not HEALTHBENCH.exists(), reason="the sample is not here")
def test_the_healthbench_sample_comes_out_whole():
    given = [json.loads(line) for line in HEALTHBENCH.read_text().splitlines()]
    result = prepare("healthbench", Shape.healthbench, {"test": from_file(HEALTHBENCH)})
    rows = result.splits["test"]
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in given]
    signed = [
        [(each["criterion"], each["weight"] * each["polarity"]) for each in rubric(row)] for row in rows
    ]
    assert signed == [[(each["criterion"], each["points"]) for each in row["rubrics"]] for row in given]
    assert all(each["category"] for row in rows for each in rubric(row))


@pytest.mark.skipif(not HEALTHBENCH.exists(), reason="the sample is not here")
def test_no_mistake_that_physicians_put_into_words_is_read_as_good_unless_it_says_what_should_be_done():
    given = [json.loads(line) for line in HEALTHBENCH.read_text().splitlines()]
    mistakes = [each["criterion"] for row in given for each in row["rubrics"] if each["points"] < 0]
    wordings = Counter(read_wording(text) for text in mistakes)
    assert len(mistakes) == 1463
    good = {wording for wording in wordings if wording.polarity == GOOD}
    assert good <= {Wording.NORM, Wording.AVOIDANCE}
    assert sum(wordings[wording] for wording in good) / len(mistakes) < 0.04
    assert wordings[Wording.UNCLEAR] / len(mistakes) < 0.15


# --- prepared rows --------------------------------------------------------------------------------------


def test_prepared_rows_are_inspected_by_the_split_they_say_they_are_of():
    train = prepared(rar("a"), rar("b")).splits["train"]
    test = prepared(splits={"test": [rar("B")]}).splits["test"]
    splits, findings = inspect_rows({"x.parquet": train + test, "y.parquet": test})
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 2, "test": 2}
    told = {kind: (finding.count, finding.handled) for kind, finding in findings.by_kind.items()}
    assert told == {"prompt_evaluated": (1, "kept"), "prompt_repeated_test": (1, "kept")}
