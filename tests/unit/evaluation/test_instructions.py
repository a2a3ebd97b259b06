"""IFEval and IFBench as tasks of inspect: the published figures, and the groups that `compare` shows."""

import asyncio
import json

import pytest

pytest.importorskip(
    "inspect_ai", reason="inspect is not installed; ./scripts/test.sh installs it on Python 3.11"
)
pytest.importorskip("if_verifiable")

from inspect_ai.log import EvalSample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import SampleScore, Target
from inspect_ai.solver import TaskState

from rvpo_verl.evaluation import instructions
from rvpo_verl.evaluation.scores import sample_scores
from tests.support.nltk_data import needs_nltk_data

pytestmark = needs_nltk_data
LETTER = {"let_relation": "at least", "let_frequency": 1}
ROWS = [
    {
        "key": 1,
        "prompt": "One",
        "instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"],
        "kwargs": [{}, {}],
    },
    {"key": 2, "prompt": "Two", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {
        "key": 3,
        "prompt": "Three",
        "instruction_id_list": ["keywords:letter_frequency"] * 2,
        "kwargs": [LETTER | {"letter": "x"}, LETTER | {"letter": "q"}],
    },
]
ANSWERS = ["Here it is:\nthis is my answer in plain small letters", "<think>a, b</think>Yes.", "x"]


@pytest.fixture
def scored(tmp_path):
    """The samples of a local file with the scores of ANSWERS, as inspect keeps them in a log."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    task = instructions.ifeval(data=str(path))

    async def score(sample, answer):
        output = ModelOutput.from_content("model", answer)
        state = TaskState("model", sample.id, 1, sample.input, [], output=output, metadata=sample.metadata)
        return await task.scorer[0](state, Target(""))

    return [
        (sample, asyncio.run(score(sample, answer)))
        for sample, answer in zip(task.dataset, ANSWERS, strict=True)
    ]


def test_the_figures_are_those_of_the_benchmark(scored):
    scores = [SampleScore(score=score, sample_id=sample.id) for sample, score in scored]
    assert [one.score.value for one in scores] == [0, 1, 0]
    assert {
        figure: getattr(instructions, figure)()(scores)
        for figure in ("prompt_level_loose", "instruction_level_strict", "instruction_level_loose")
    } == {
        "prompt_level_loose": 2 / 3,  # the first without its first line
        "instruction_level_strict": 3 / 5,
        "instruction_level_loose": 4 / 5,
    }


def test_compare_sees_kinds_and_loose_figures(scored):
    first, _, third = (
        sample_scores(
            EvalSample(id=sample.id, epoch=1, input="", target="", scores={"constraints": score})
        ).groups
        for sample, score in scored
    )
    assert first == {
        ("", "overall"): 0.0,
        ("prompt-level", "loose"): 1.0,
        ("constraints of a prompt", "strict"): 0.5,
        ("constraints of a prompt", "loose"): 1.0,
        ("kind", "punctuation:no_comma"): 1.0,
        ("kind", "change_case:english_lowercase"): 0.0,
    }
    assert third["kind", "keywords:letter_frequency"] == 0.5


def test_a_row_in_another_form_is_refused_with_its_number(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps({"prompt": "x"}) + "\n")
    with pytest.raises(ValueError, match=r"row 2: .*instruction_id_list"):
        instructions.ifeval(data=str(path))


def test_no_answer_meets_no_constraint(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[1]))
    task = instructions.ifeval(data=str(path))
    (sample,) = task.dataset
    output = ModelOutput.from_content("m", "")
    state = TaskState("m", sample.id, 1, sample.input, [], output=output, metadata=sample.metadata)
    assert asyncio.run(task.scorer[0](state, Target(""))).value == 0.0
