import pytest

from rvpo_verl.data.categories import IMPORTANCE, of_weight, split_prefix


@pytest.mark.parametrize(
    ("description", "category", "text", "kind"),
    [
        ("Essential Criteria: States 5 mg.", "essential", "States 5 mg.", "exact"),
        ("essential criterion : States 5 mg.", "essential", "States 5 mg.", "exact"),
        ("Important: States 5 mg.", "important", "States 5 mg.", "exact"),
        ("Optional Criteria – States 5 mg.", "optional", "States 5 mg.", "exact"),
        ("**Pitfall Criteria**: Omits 5 mg.", "pitfall", "Omits 5 mg.", "exact"),
        ("2. Pitfall Criteria: Omits 5 mg.", "pitfall", "Omits 5 mg.", "exact"),
        ("Essential Criteria: Important: this stays", "essential", "Important: this stays", "exact"),
        ('Essential Criteria: "5 mg" is given', "essential", '"5 mg" is given', "exact"),
        ("Essential Criteria:", "essential", "", "exact"),
        ("Esssential Criteria: States 5 mg.", "essential", "States 5 mg.", "misspelled"),
        ("Esssential: States 5 mg.", "essential", "States 5 mg.", "misspelled"),
        ("Importance Criteria: States 5 mg.", "important", "States 5 mg.", "misspelled"),
        ("Option Critera: States 5 mg.", "optional", "States 5 mg.", "misspelled"),
        ("Pitfalls Criteria: Omits 5 mg.", "pitfall", "Omits 5 mg.", "misspelled"),
        ("Universal Criteria: States 5 mg.", None, "States 5 mg.", "unknown"),
        ("Mandatory Criteria: States 5 mg.", None, "States 5 mg.", "unknown"),
        ("States 5 mg.", None, "States 5 mg.", "missing"),
        ("Dose: states 5 mg.", None, "Dose: states 5 mg.", "missing"),
        ("Option: B is chosen.", None, "Option: B is chosen.", "missing"),
        ("Essential amino acids: lists all nine.", None, "Essential amino acids: lists all nine.", "missing"),
        ("Non-specific pain is named.", None, "Non-specific pain is named.", "missing"),
    ],
)
def test_the_category_is_taken_off_the_text(description, category, text, kind):
    prefix = split_prefix(description)
    assert (prefix.category, prefix.text, prefix.kind) == (category, text, kind)


def test_a_weight_stands_for_the_category_that_rars_instructions_tie_it_to():
    weights = {-2: "pitfall", -1: "pitfall", 0: "optional", 1: "optional", 2: "optional", 3: "important"}
    weights |= {4: "important", 4.5: "important", 5: "essential", 10: "essential"}
    assert {weight: of_weight(weight) for weight in weights} == weights
    assert set(weights.values()) == set(IMPORTANCE)
