"""Every misconfiguration ends verl's own launcher at once, before Ray, data or model are touched.

None of these commands names a model that exists.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rvpo_verl.cpu.launch import environment

pytestmark = pytest.mark.launcher

OWN_SCORES = ["algorithm.adv_estimator=rvpo", "+algorithm.gdpo_reward_keys=[format,correct]"]

CASES = {
    "unknown option": (
        ["+rvpo=tool_calling", "+algorithm.rvpo.agregation=mean"],
        ["algorithm.rvpo.agregation='mean': unknown key", "did you mean 'aggregation'"],
    ),
    "wrong type": (
        ["+rvpo=tool_calling", "algorithm.rvpo.k=much"],
        ["algorithm.rvpo.k='much'", "valid number"],
    ),
    "negative k": (
        ["+rvpo=tool_calling", "algorithm.rvpo.k=-1"],
        ["algorithm.rvpo.k=-1", "greater than or equal to 0"],
    ),
    "duplicate reward names": (
        ["+rvpo=default", "algorithm.rvpo.reward_keys=[format,correct,format]"],
        ["duplicate reward names ['format']"],
    ),
    "weight of an absent reward": (
        [*OWN_SCORES, "+algorithm.rvpo.reward_keys=[format]", "+algorithm.rvpo.reward_weights.tone=2"],
        ["reward_weights names ['tone']", "not among reward_keys ['format']"],
    ),
    "KL in the reward": (
        ["+rvpo=tool_calling", "algorithm.use_kl_in_reward=True"],
        ["algorithm.use_kl_in_reward=True", "actor_rollout_ref.actor.use_kl_loss=True"],
    ),
    "preset as a plain key": (
        ["algorithm.adv_estimator=rvpo", "+rvpo.preset=tool_calling"],
        ["became a plain key", "VERL_USE_EXTERNAL_MODULES=rvpo_verl"],
    ),
    "nothing yields reward vectors": (
        ["algorithm.adv_estimator=rvpo"],
        ["nothing yields several rewards", "reward.reward_manager.name=naive", "reward_keys"],
    ),
    "manager without rewards": (
        ["algorithm.adv_estimator=rvpo", "reward.reward_manager.name=rvpo"],
        ["reward.rvpo names no rewards", "+rvpo=tool_calling"],
    ),
    "unknown reward": (
        ["+rvpo=tool_calling", "+reward.rvpo.rewards.tool_call_fromat.weight=1"],
        ["tool_call_fromat", "tool_call_format"],
    ),
    "groups of one": (
        ["+rvpo=tool_calling", "actor_rollout_ref.rollout.n=1"],
        ["actor_rollout_ref.rollout.n=1", "every advantage is 0"],
    ),
    "another spelling": (["algorithm.adv_estimator=RVPO"], ["verl knows it as algorithm.adv_estimator=rvpo"]),
    "keys as a word": (
        ["algorithm.adv_estimator=rvpo", "+algorithm.gdpo_reward_keys=format"],
        ["gdpo_reward_keys='format': expected a list", "[format,correct]"],
    ),
    "groups filtered by the sum": (
        ["+rvpo=tool_calling", "algorithm.filter_groups.enable=True"],
        ["algorithm.filter_groups.metric=reward", "metric=rvpo_vector"],
    ),
    "a reward for other data": (
        [
            "+rvpo=tool_calling",
            "actor_rollout_ref.rollout.n=4",
            "data.train_files=rows.jsonl",
            "+reward.rvpo.rewards.tool_call_format.data_sources=[wiki]",
        ],
        ["data_sources=['wiki']: no row of data.train_files has one of these; there are rlla (2)"],
    ),
    "several at once": (
        ["+rvpo=tool_calling", "algorithm.rvpo.eps=-1", "reward.rvpo.max_failure_share=7"],
        ["algorithm.rvpo.eps=-1", "reward.rvpo.max_failure_share=7"],
    ),
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("misconfigured")
    (cwd / "rows.jsonl").write_text('{"data_source": "rlla"}\n' * 2)

    def launch(overrides):
        return subprocess.run(
            [sys.executable, "-m", "verl.trainer.main_ppo", "trainer.device=cpu", *overrides],
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
        )

    with ThreadPoolExecutor(2) as pool:
        done = pool.map(launch, [overrides for overrides, _ in CASES.values()])
        return dict(zip(CASES, done, strict=True))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", CASES)
def test_fails_before_anything_is_started_and_says_what_to_write(outputs, case):
    done, said = outputs[case], CASES[case][1]
    assert done.returncode != 0
    message = done.stderr[done.stderr.index("rvpo_verl: this configuration cannot train") :]
    assert not [part for part in said if part not in message], message
    assert "Ray" not in done.stdout + done.stderr
