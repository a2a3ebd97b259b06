"""Several judges: each criterion goes to those of its category, and of a panel the mean counts."""

import asyncio

import pytest

from rvpo_verl.errors import ConfigError
from rvpo_verl.judge.config import parse_judges
from rvpo_verl.judge.endpoint import Endpoints
from rvpo_verl.judge.figures import Figures
from rvpo_verl.judge.judge import Judgement
from rvpo_verl.judge.panel import Panels, mean
from rvpo_verl.rubric import Criterion
from tests.support.scripted_judge import scripted_judge


def at(server):
    return {"endpoints": [{"base_url": server.base_url, "model": "judge"}], "output": "schema", "attempts": 1}


def judged(given, criteria):
    panels = Panels(
        parse_judges(given, "judge"), reward_workers=1, router_address=None, endpoints=Endpoints()
    )
    figures = Figures()
    judgements = asyncio.run(panels.judge([], "an answer", criteria, figures=figures))
    return judgements, figures


def test_each_criterion_is_judged_by_its_category_or_by_the_judge_that_it_names():
    criteria = [
        Criterion(criterion="a", category="Safety"),
        Criterion(criterion="b", category="Style"),
        Criterion(criterion="c", category="Style", judge="Safety"),
    ]
    with scripted_judge(reply='{"1": true}') as yes, scripted_judge(reply='{"1": false}') as no:
        judgements, figures = judged({"default": at(no), "Safety": at(yes)}, criteria)
    assert [one.truth for one in judgements] == [1.0, 0.0, 1.0]
    assert figures.calls == 3


def test_of_a_panel_the_mean_counts_and_its_disagreement_is_known():
    with scripted_judge(reply='{"1": true}') as yes, scripted_judge(reply='{"1": false}') as no:
        (judgement,), _ = judged([at(yes), at(no), at(yes)], [Criterion(criterion="a")])
    assert judgement.truth == pytest.approx(2 / 3)
    assert judgement.disagreement == pytest.approx(2 / 3)


def test_a_judge_of_a_panel_that_fails_leaves_the_verdict_to_the_others():
    with scripted_judge(reply='{"1": true}') as yes, scripted_judge(reply="no JSON") as mute:
        (judgement,), _ = judged([at(mute), at(yes)], [Criterion(criterion="a")])
    assert judgement == Judgement(1.0)


def test_a_panel_without_a_verdict_says_why():
    failed = Judgement(None, "timeout: x")
    assert mean([failed, Judgement(None, "malformed: y")]) == failed


def test_no_judge_of_a_category_is_refused():
    with pytest.raises(ConfigError, match=r"judge\.Safety=\[\]"):
        parse_judges({"default": {}, "Safety": []}, "judge")
