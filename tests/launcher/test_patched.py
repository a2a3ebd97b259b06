"""verl's own gdpo on V1, which only a verl with one of `patches/` trains with (`scripts/test_versions.sh --patched`).

What rvpo does on a patched verl, the other launcher runs show.
"""

import pytest
from verl.trainer.ppo.ray_trainer import compute_advantage

from rvpo_verl.attach.native_api import supports_extras
from tests.support import scoring

pytestmark = [
    pytest.mark.launcher,
    pytest.mark.timeout(700),
    pytest.mark.skipif(not supports_extras(compute_advantage), reason="this verl is not patched"),
]


def test_gdpo_trains_on_v1(train):
    run = train(
        "algorithm.adv_estimator=gdpo",
        "+algorithm.gdpo_reward_keys=[format,correct]",
        f"reward.custom_reward_function.path={scoring.__file__}",
        "trainer.total_training_steps=2",
    )
    assert list(run.steps) == [1, 2]
    for step, batch in zip(run.steps.values(), run.batches, strict=True):
        assert step["actor/grad_norm"] > 0
        assert batch["mean"] == pytest.approx(0.0, abs=1e-5)
        assert batch["variance"] == pytest.approx(1.0, abs=1e-3)
