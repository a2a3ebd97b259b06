"""verl's tool agent with two tools and several turns, through the launcher: V1, and V0."""

import pytest

from rvpo_verl.cpu import tasks
from rvpo_verl.files import read_rows, write_parquet
from tests.support import multi_turn

pytestmark = [pytest.mark.launcher, pytest.mark.timeout(700)]

TOOLS = {"get_weather", "find_hotel"}
ANSWER = multi_turn.ANSWER


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """Two steps on tasks that need only the two tools; what the rewards were given, by trainer."""
    folder = tmp_path_factory.mktemp("multi_turn")
    rows = [
        row
        for row in tasks.generate(1500, 1, "train")
        if {call["name"] for call in tasks.calls_of(row["reward_model"]["ground_truth"])} <= TOOLS
    ]
    write_parquet(rows[:12], folder / "rows.parquet")

    def trained(use_v1):
        seen = folder / f"seen-{use_v1}.jsonl"
        result = train(
            "+rvpo=tool_calling",
            f"+reward.rvpo.rewards.seen.function={multi_turn.__file__}:seen",
            "+reward.rvpo.rewards.tool_reward.weight=0.5",
            "actor_rollout_ref.rollout.multi_turn.enable=True",
            "actor_rollout_ref.rollout.multi_turn.format=rlla",
            "actor_rollout_ref.rollout.multi_turn.max_assistant_turns=3",
            f"actor_rollout_ref.rollout.multi_turn.function_tool_path={multi_turn.__file__}",
            "actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent",
            f"data.train_files={folder / 'rows.parquet'}",
            f"data.val_files={folder / 'rows.parquet'}",
            "data.max_response_length=320",
            f"trainer.use_v1={use_v1}",
            "+algorithm.gdpo_reward_keys=[tool_call_format,tool_call_correctness]",  # for the recorder on V0
            "trainer.total_training_steps=2",
            "trainer.test_freq=2",
            env={"SEEN_FILE": str(seen)},
        )  # fmt: skip
        return result, [row for _, row in read_rows(seen)]

    return {use_v1: trained(use_v1) for use_v1 in (True, False)}


@pytest.mark.parametrize("use_v1", [True, False])
def test_rewards_get_what_the_model_wrote_apart_from_what_tools_returned(trained, use_v1):
    _, seen = trained[use_v1]
    called = [row for row in seen if any(ANSWER in turn["content"] for turn in row["turns"])]
    assert len(called) > 10
    assert {len(row["turns"]) for row in called} & {3, 5}, "several turns"
    for row in seen:
        assert ANSWER not in row["response"] and ANSWER not in row["last_turn"]
        assert [turn["role"] for turn in row["turns"]][::2] == ["assistant"] * -(-len(row["turns"]) // 2)
        assert (row["received"] > 0) == (len(row["turns"]) > 1)
        assert len(row["tool_rewards"]) == sum(turn["role"] == "tool" for turn in row["turns"])


@pytest.mark.parametrize("use_v1", [True, False])
def test_what_tools_returned_earns_no_reward(trained, use_v1):
    """`find_hotel` answers with a perfect call of itself."""
    result, seen = trained[use_v1]
    assert any(sum(row["tool_rewards"]) > 0 for row in seen)
    for step in (1, 2):
        assert result.steps[step]["rvpo/seen/mean"] == 0.0
        assert 0 <= result.steps[step]["rvpo/tool_reward/mean"] <= 1.0
        assert result.steps[step]["actor/grad_norm"] > 0


@pytest.mark.parametrize("use_v1", [True, False])
def test_tokens_of_tools_get_no_advantage(trained, use_v1):
    result, _ = trained[use_v1]
    assert sum(batch["received"] for batch in result.batches) > 100
    assert max(batch["received_advantage"] for batch in result.batches) == 0.0
