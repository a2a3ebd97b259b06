import numpy as np
import pytest

from rvpo_verl.errors import UserError
from rvpo_verl.rubric import Criterion, names, read_rubric


def test_a_row_as_parquet_returns_it():
    rows = np.array(
        [
            {
                "criterion": "Mentions X",
                "category": "Essential",
                "weight": np.float64(0.7),
                "levels": np.int64(4),
            },
            {
                "criterion": "Avoids Y",
                "title": None,
                "category": None,
                "polarity": np.int64(-1),
                "weight": None,
                "levels": np.float64(1.0),  # pandas turns integers into floats where other rows have none
            },
        ],
        dtype=object,
    )
    assert read_rubric({"rubric": rows}) == [
        Criterion(criterion="Mentions X", category="Essential", weight=0.7, levels=4),
        Criterion(criterion="Avoids Y", polarity=-1),
    ]


def test_polarity_turns_truth_into_reward():
    assert [Criterion(criterion="c", polarity=1).reward(truth) for truth in (0, 0.25, 1)] == [0, 0.25, 1]
    assert [Criterion(criterion="c", polarity=-1).reward(truth) for truth in (0, 0.25, 1)] == [1, 0.75, 0]


@pytest.mark.parametrize(
    ("extra_info", "message"),
    [
        ({"index": 1}, r"no extra_info\['rubric'\]; found \['index'\]"),
        ({"rubric": []}, "at least 1 item"),
        ({"rubric": 3}, "is 3; expected a list"),
        ({"rubric": ["x"]}, r"\[0\]: found 'x'; .*dictionary"),
        ({"rubric": [{"criterion": "a"}, {"criterion": " "}]}, r"\[1\]\['criterion'\]: found ' '; "),
        ({"rubric": [{"criterion": "a", "polarity": 0}]}, r"\['polarity'\]: found 0; expected 1 .* or -1"),
        (
            {"rubric": [{"criterion": "a", "weight": -1}]},
            r"\['weight'\]: found -1; .*greater than or equal to 0",
        ),
        ({"rubric": [{"criterion": "a", "levels": 0}]}, r"\['levels'\]"),
    ],
)
def test_a_row_that_cannot_be_judged_names_its_field(extra_info, message):
    with pytest.raises(UserError, match=message):
        read_rubric(extra_info)


def test_names_contain_the_category_and_are_distinct():
    criteria = [
        Criterion(criterion="same", category=category)
        for category in ("Essential", "axis:a/b c", "", "Essential")
    ]
    assert names(criteria) == ["Essential/1", "axis:a_b_c/2", "criterion/3", "Essential/4"]
