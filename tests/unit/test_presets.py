"""The Hydra presets, composed as a launcher composes them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import rvpo_verl
from rvpo_verl.attach.verl_config import advantage_config
from rvpo_verl.config import AdvantageConfig, ScheduleConfig

FOLDER = Path(rvpo_verl.__file__).parent / "conf"
PRESETS = sorted(path.stem for path in (FOLDER / "rvpo").glob("*.yaml"))


def settings(preset):
    with initialize_config_dir(str(FOLDER), version_base=None):
        return compose(overrides=[f"+rvpo={preset}"]).algorithm


def test_the_default_preset_lists_every_option_at_its_default():
    assert advantage_config(settings("default")) == AdvantageConfig()
    assert set(settings("default").rvpo) == set(AdvantageConfig.model_fields)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_valid_configuration_of_the_estimator(preset):
    assert settings(preset).adv_estimator == "rvpo"
    advantage_config(settings(preset))


def test_the_papers_form_adds_nothing_to_the_soft_minimum():
    paper = advantage_config(settings("paper"))
    assert (paper.aggregation, paper.constant_rewards, paper.bonus) == ("softmin", "keep", 0)
    assert not paper.center_groups


def test_tool_calling_has_the_k_of_the_paper_as_others_report_it():
    assert advantage_config(settings("tool_calling")).k == 1.0


def test_the_rubrics_preset_lets_k_rise():
    assert advantage_config(settings("rubrics")).k == ScheduleConfig(schedule="linear", from_=0.5, to=2.0)
