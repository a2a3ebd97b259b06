"""verl's own filter of groups, run on what the plugin adds for it."""

import json
from collections import defaultdict

import pytest
from omegaconf import OmegaConf

from rvpo_verl.attach.group_filter import DIGEST, add_digest
from rvpo_verl.rewards.vector import KEY, RewardVector

replay_buffer = pytest.importorskip(
    "verl.trainer.ppo.v1.replay_buffer", reason="only trainer V1 filters groups"
)

SAME_SUM = [(1, 0.5, 0), (0.5, 0.5, 0.5), (0, 0.5, 1), (0.5, 1, 0)]
CONFIG = OmegaConf.create(
    {
        "algorithm": {
            "filter_groups": {"enable": True, "metric": DIGEST},
            "gdpo_reward_keys": ["a", "b", "c"],
        }
    }
)


def of_manager(rewards):
    return {KEY: RewardVector(dict(zip("abc", rewards, strict=True))).dumps()}


def by_keys(rewards):
    return dict(zip("abc", rewards, strict=True))


def filtered(monkeypatch, groups, report):
    """The groups that verl drops, by name."""
    rows = {}
    for uid, group in groups.items():
        for session, rewards in enumerate(group):
            info = report(rewards)
            add_digest(info, CONFIG)
            rows[f"{uid}_{session}_0"] = {"reward_extra_info": json.loads(json.dumps(info))}
    buffer = object.__new__(replay_buffer.ReplayBuffer)
    buffer.filter_groups_metric = DIGEST
    buffer.finished_keys = {"train": set(groups)}
    buffer.partitions = {"train": {key: {} for key in rows}}
    buffer._dapo_classification_cache = defaultdict(dict)
    monkeypatch.setattr(
        replay_buffer.tq, "kv_batch_get", lambda keys, **_: {"extra_fields": [rows[key] for key in keys]}
    )
    return buffer._dapo_filtered_keys("train")[0]


@pytest.mark.parametrize("report", [of_manager, by_keys])
def test_exactly_the_groups_in_which_no_reward_varies_are_dropped(monkeypatch, report):
    groups = {
        "same-sum": SAME_SUM,
        "constant": [(0.1, 0.2, 0.7)] * 4,
        "constant-and-missing": [(0.1, None, 0.7)] * 4,
        "one-missing": [(0.1, 0.2, 0.7)] * 3 + [(0.1, None, 0.7)],
        "one-differs": [(0.1, 0.2, 0.7)] * 3 + [(0.1, 0.2, 0.7 + 1e-12)],
    }
    assert filtered(monkeypatch, groups, report) == {"constant", "constant-and-missing"}


def test_nothing_is_added_where_nothing_is_filtered():
    info = by_keys(SAME_SUM[0])
    add_digest(info, OmegaConf.create({"algorithm": {"filter_groups": {"enable": False, "metric": DIGEST}}}))
    add_digest(info, OmegaConf.create({"algorithm": {}}))
    assert set(info) == set("abc")
