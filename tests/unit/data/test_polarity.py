import re

import pytest

from rvpo_verl.data.polarity import BAD, GOOD, Wording, opening_of, read_pitfall, read_wording
from tests.support.paths import ROOT

TABLE = ROOT / "docs" / "data.md"

CASES = [
    # true of a good answer
    ("Avoids recommending aspirin to a child.", Wording.AVOIDANCE),
    ("Avoid confusing mass with weight.", Wording.AVOIDANCE),
    ("The response avoids incorrectly stating that the reaction is exothermic.", Wording.AVOIDANCE),
    ("Refrains from diagnosing.", Wording.AVOIDANCE),
    ("Avoids mentioning irrelevant details.", Wording.AVOIDANCE),
    ("Avoids omitting the units.", Wording.AVOIDANCE),
    ("The response should not omit mentioning that friction is neglected.", Wording.NORM),
    ("The answer must avoid rounding too early.", Wording.NORM),
    ("The calculation of the slope should not use degrees.", Wording.NORM),
    ("Should not claim that the gas is ideal.", Wording.NORM),
    ("Do not confuse speed with velocity.", Wording.NORM),
    ("Never recommend antibiotics.", Wording.NORM),
    ("Be careful not to mix up the signs.", Wording.NORM),
    ("Does not confuse mass with weight.", Wording.NO_ERROR),
    ("Does not incorrectly apply the formula.", Wording.NO_ERROR),
    ("The response does not overlook the sign.", Wording.NO_ERROR),
    ("Doesn’t fail to convert the units.", Wording.NO_ERROR),
    ("Does not recommend unnecessary imaging.", Wording.NO_ERROR),
    # true of a bad answer
    ("Does not mention the dose.", Wording.NOT_COVERED),
    ("Does not explicitly discuss the risks of surgery.", Wording.NOT_COVERED),
    ("Response does not address the allergy.", Wording.NOT_COVERED),
    ("Does not adequately plan the follow-up.", Wording.NOT_COVERED),
    ("Does not mention contraindications to aspirin.", Wording.NOT_COVERED),
    ("Does not include the false-positive rate.", Wording.NOT_COVERED),
    ("Not mentioning the dose.", Wording.NOT_COVERED),
    ("Does not ask for allergies.", Wording.NOT_COVERED),
    ("Fails to mention the dose.", Wording.OMISSION),
    ("The answer neglects the friction.", Wording.OMISSION),
    ("No mention of the allergy.", Wording.OMISSION),
    ("Does not avoid sedatives.", Wording.OMISSION),
    ("Incorrectly states that the gas is ideal.", Wording.ERROR),
    ("Confuses mass with weight.", Wording.ERROR),
    ("Misidentifies the organism.", Wording.ERROR),
    ("Unnecessarily orders imaging.", Wording.ERROR),
    ("Recommends aspirin to a child.", Wording.STATEMENT),
    ("Answers in more than three paragraphs.", Wording.STATEMENT),
    ("The explanation states that patients should not eat.", Wording.STATEMENT),
    # either
    ("Does not suggest delaying fluids despite septic shock.", Wording.UNCLEAR),
    ("Does not recommend surgery.", Wording.UNCLEAR),
    ("Does not apply mislabelled values.", Wording.UNCLEAR),
    ("Does not mention irrelevant details.", Wording.UNCLEAR),
    ("Avoids discussing the side effects.", Wording.UNCLEAR),
    ("Correctly identifies the organism.", Wording.UNCLEAR),
    ("Recognizes that the pain is not cardiac.", Wording.UNCLEAR),
    ("Is concise.", Wording.UNCLEAR),
    ("Units are given.", Wording.UNCLEAR),
    ("Answers are given in full.", Wording.UNCLEAR),
    ("Units must be given.", Wording.UNCLEAR),
    ("It is a mistake if the answer is negative.", Wording.UNCLEAR),
    ("Nennt die Dosis nicht.", Wording.UNCLEAR),
    ("-", Wording.UNCLEAR),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wording"), CASES)
def test_the_wording_of_a_pitfall_decides(text, wording):
    assert read_wording(text) is wording
    assert read_wording(text.upper()) is wording
    assert read_wording(f"  {text} \n".replace(" ", "  ")) is wording


@pytest.mark.parametrize("verb", ["mention", "discuss", "explain", "state", "identify"])
@pytest.mark.parametrize("subject", ["", "The response ", "It ", "The model's answer "])
def test_saying_the_opposite_of_an_omission_turns_the_polarity(subject, verb):
    assert read_wording(f"{subject}does not {verb} the dose").polarity == BAD
    assert read_wording(f"{subject}fails to {verb} the dose").polarity == BAD
    assert read_wording(f"{subject}does not fail to {verb} the dose").polarity == GOOD
    assert read_wording(f"{subject}should {verb} the dose").polarity == GOOD


def test_every_wording_has_a_case_and_the_documented_table_is_what_the_code_does():
    assert {wording for _, wording in CASES} == {
        wording for wording in Wording if not wording.name.startswith(("DECLARED", "CONTRADICTION"))
    }
    rows = re.findall(r"^\| \"(.+)\" \| (good|bad|either) \|", TABLE.read_text(), flags=re.MULTILINE)
    assert len(rows) >= 12
    for examples, verdict in rows:
        for example in examples.split('", "'):
            assert read_wording(example).polarity == {"good": GOOD, "bad": BAD, "either": None}[verdict], (
                example
            )


@pytest.mark.parametrize(
    ("category", "weight", "text", "wording"),
    [
        ("pitfall", -1, "Mentions aspirin.", Wording.STATEMENT),
        # A sign that contradicts the category: settled only by a wording that is good as well.
        ("pitfall", 2, "Avoids aspirin.", Wording.AVOIDANCE),
        ("pitfall", 2, "Recommends aspirin.", Wording.CONTRADICTION),
        ("important", -2, "Avoids aspirin.", Wording.AVOIDANCE),
        ("important", -2, "States the dose.", Wording.CONTRADICTION),
        ("important", -2, "Does not mention the dose.", Wording.CONTRADICTION),
    ],
)
def test_a_sign_that_contradicts_the_category_is_not_believed(category, weight, text, wording):
    assert read_pitfall(text, category, weight) is wording


@pytest.mark.parametrize("polarity", [GOOD, BAD])
def test_what_is_declared_overrules_wording_and_contradiction(polarity):
    for category, weight in (("pitfall", -1), ("pitfall", 1), ("optional", -1)):
        assert read_pitfall("Avoids aspirin", category, weight, polarity).polarity == polarity


def test_the_longest_opening_counts_with_or_without_the_subject():
    openings = ["does not", "does not suggest", "the response does not suggest delay", "avoids"]
    assert opening_of("Does not suggest  rest.", openings) == "does not suggest"
    assert opening_of("The response does not suggest rest.", openings) == "does not suggest"
    assert opening_of("The response does not suggest delaying.", openings) == openings[2]
    assert opening_of("Does not mention rest.", openings) == "does not"
    assert opening_of("Mentions that it does not matter.", openings) is None
