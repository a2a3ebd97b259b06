"""Invariants of the mathematics. B responses, M rewards, T tokens, G groups."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rvpo_verl.core import AggregationContext, RewardBatch, Settings, aggregations
from rvpo_verl.core import advantage as equations
from rvpo_verl.core.advantage import broadcast, normalize_weights, standardize, success_bonus
from tests.support import reference

NAN = float("nan")
AGGREGATIONS = {name: aggregations.find(name) for name in ("softmin", "mean", "min", "variance")}


def aggregate(z_BM, weight_BM, aggregation="softmin", k=2.0, beta=1.0):
    return AGGREGATIONS[aggregation](z_BM, weight_BM, AggregationContext(k, beta))


def softmin_weights(z_BM, weight_BM, k):
    return aggregations.shares(aggregations.softmin, z_BM, weight_BM, AggregationContext(k))


def advantage(
    rewards_BM, group_B, length_B, *, valid_B=None, weights_BM=None, aggregation="softmin", **options
):
    batch = RewardBatch(rewards_BM, group_B, length_B, weights_BM, valid_B)
    settings = Settings(aggregation=AGGREGATIONS[aggregation], **options)
    return equations.advantage(batch, settings, AggregationContext(settings.k, settings.beta))


@st.composite
def batches(draw, missing=True, levels=None):
    """A ragged batch: groups of different sizes with different numbers of rewards, shuffled."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    width = draw(st.integers(1, 7))
    level = draw(st.sampled_from([2, 3, 50])) if levels is None else levels
    rows, groups = [], []
    for group, size in enumerate(sizes):
        used = rng.integers(1, width + 1)
        block = rng.integers(0, level, (size, width)).astype(float) / 3
        block[:, used:] = NAN
        if missing:
            block[rng.random(block.shape) < 0.15] = NAN
        rows.append(block)
        groups += [group] * size
    order = rng.permutation(len(groups))
    lengths = rng.integers(1, 9, len(groups))
    weights = rng.integers(0, 4, (len(groups), width)).astype(float)
    valid = rng.random(len(groups)) < 0.8
    return np.concatenate(rows)[order], np.array(groups)[order], lengths, weights, valid


def run(rewards, groups, lengths, valid=None, weights=None, **options):
    result = advantage(
        torch.tensor(rewards, dtype=torch.float64),
        torch.tensor(groups),
        torch.tensor(lengths),
        valid_B=None if valid is None else torch.tensor(valid),
        weights_BM=None if weights is None else torch.tensor(weights),
        **options,
    )
    return result.advantage_B.numpy()


@settings(max_examples=150, deadline=None)
@given(
    batch=batches(),
    aggregation=st.sampled_from(list(AGGREGATIONS)),
    k=st.sampled_from([0, 0.5, 2.0, 5.0, math.inf]),
    constant_rewards=st.sampled_from(["keep", "drop"]),
    bonus=st.sampled_from([0.0, 1.0, 0.5]),
    center_groups=st.booleans(),
    whitening=st.sampled_from(["token", "response", "none"]),
    weighted=st.booleans(),
    masked=st.booleans(),
)
def test_equals_the_slow_reference(
    batch, aggregation, k, constant_rewards, bonus, center_groups, whitening, weighted, masked
):
    rewards, groups, lengths, weights, valid = batch
    options = dict(
        aggregation=aggregation,
        k=k,
        beta=0.7,
        constant_rewards=constant_rewards,
        bonus=bonus,
        center_groups=center_groups,
        whitening=whitening,
    )
    expected = reference.advantage(
        rewards.tolist(),
        groups.tolist(),
        lengths.tolist(),
        valid=valid.tolist() if masked else None,
        weights=weights.tolist() if weighted else None,
        **options,
    )
    actual = run(
        rewards, groups, lengths, valid if masked else None, weights if weighted else None, **options
    )
    # Whitening divides what rounding left of a batch without differences by 1e-4.
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-9)


def test_hand_derived_softmin():
    """Two rewards, two responses: Z = +-1/sqrt(2); one response leads on both."""
    result = advantage(
        torch.tensor([[1.0, 1.0], [0.0, 0.0]]),
        torch.tensor([0, 0]),
        torch.tensor([1, 1]),
        eps=0.0,
        center_groups=False,
        whitening="none",
    )
    np.testing.assert_allclose(result.advantage_B, [2**-0.5, -(2**-0.5)], atol=1e-12)
    # Z = (2, 0): -(1/2) log((e^-4 + 1) / 2)
    softmin = aggregate(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).double(), torch.full((2, 2), 0.5).double())
    expected = [-0.5 * math.log((math.exp(-4) + 1) / 2), -0.5 * math.log((math.exp(4) + 1) / 2)]
    np.testing.assert_allclose(softmin, expected, atol=1e-12)
    np.testing.assert_allclose(softmin, [0.33750, -1.66250], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 6),
    size=st.integers(1, 8),
    rewards=st.integers(1, 6),
    tokens=st.integers(2, 12),
    seed=st.integers(0, 2**31),
    weighted=st.booleans(),
)
def test_mean_equals_verls_gdpo(groups, size, rewards, tokens, seed, weighted):
    from omegaconf import OmegaConf
    from verl.trainer.ppo.core_algos import compute_gdpo_outcome_advantage

    generator = torch.Generator().manual_seed(seed)
    B = groups * size
    rewards_BM = torch.randn(B, rewards, generator=generator)
    lengths = torch.randint(1, tokens + 1, (B,), generator=generator)
    mask_BT = (torch.arange(tokens) < lengths[:, None]).long()
    index = np.array([f"uid-{row % groups}" for row in range(B)], dtype=object)
    if mask_BT.sum() < 2:
        return  # verl's whitening refuses a single token
    keys = [f"reward_{column}" for column in range(rewards)]
    weights = torch.rand(rewards, generator=generator) + 0.5
    config = {"gdpo_reward_keys": keys}
    if weighted:
        config["gdpo_reward_weights"] = weights.tolist()
    prompts = torch.zeros(B, 3, dtype=torch.long)
    theirs, _ = compute_gdpo_outcome_advantage(
        token_level_rewards=torch.zeros(B, tokens),
        response_mask=mask_BT,
        index=index,
        config=OmegaConf.create(config),
        non_tensor_batch={key: rewards_BM[:, column].numpy() for column, key in enumerate(keys)},
        batch={"prompts": prompts, "attention_mask": torch.cat([torch.ones_like(prompts), mask_BT], 1)},
    )
    ours = advantage(
        rewards_BM,
        torch.arange(B) % groups,
        lengths,
        weights_BM=weights.expand(B, -1) if weighted else None,
        aggregation="mean",
    )
    # Where rewards nearly agree or Z cancel out, what is left to amplify is verl's float32 rounding.
    assume(size == 1 or rewards_BM.reshape(size, groups, rewards).std(dim=0).min() > 1e-2)
    assume(size == 1 or ours.aggregate_B.numpy().std() > 1e-2)
    # A group of one response is constant: verl leaves the raw reward there (mean 0, std 1), we give 0.
    if size > 1:
        np.testing.assert_allclose(broadcast(ours.advantage_B, mask_BT), theirs, atol=1e-5, rtol=1e-5)
    else:
        assert not ours.advantage_B.any()


@settings(max_examples=60, deadline=None)
@given(batch=batches(), seed=st.integers(0, 2**31), aggregation=st.sampled_from(list(AGGREGATIONS)))
def test_permuting_responses_permutes_advantages(batch, seed, aggregation):
    rewards, groups, lengths, weights, valid = batch
    order = np.random.default_rng(seed).permutation(len(groups))
    plain = run(rewards, groups, lengths, valid, weights, aggregation=aggregation)
    moved = run(
        rewards[order], groups[order], lengths[order], valid[order], weights[order], aggregation=aggregation
    )
    np.testing.assert_allclose(moved, plain[order], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    batch=batches(),
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 1e3),
    aggregation=st.sampled_from(list(AGGREGATIONS)),
)
def test_positive_affine_change_of_one_reward_changes_nothing(batch, scale, shift, aggregation):
    rewards, groups, lengths, _, _ = batch
    changed = rewards.copy()
    changed[:, 0] = scale * changed[:, 0] + shift
    plain = run(rewards, groups, lengths, aggregation=aggregation, eps=0.0)
    np.testing.assert_allclose(
        run(changed, groups, lengths, aggregation=aggregation, eps=0.0), plain, atol=1e-6
    )


@pytest.mark.parametrize("size", range(1, 17))
@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.7, 1e-9, 123456.789, -2.3, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_reward_gives_exactly_zero(size, value, dtype):
    rewards = torch.full((size, 1), value, dtype=dtype)
    result = standardize(rewards, torch.zeros(size, dtype=torch.long))
    assert (result.z_BM == 0).all() and result.constant_BM.all()


def test_constant_reward_up_to_rounding_gives_exactly_zero():
    sums = [0.1 + 0.2, 0.3, 0.7 - 0.4, 0.15 * 2]
    assert len(set(sums)) > 1
    result = standardize(torch.tensor(sums, dtype=torch.float64)[:, None], torch.zeros(4, dtype=torch.long))
    assert (result.z_BM == 0).all()


def test_a_small_difference_is_still_a_difference():
    result = standardize(torch.tensor([[1e6], [1e6 + 1]]).double(), torch.zeros(2, dtype=torch.long), eps=0.0)
    np.testing.assert_allclose(result.z_BM[:, 0], [-(2**-0.5), 2**-0.5], rtol=1e-9)


def test_constant_reward_is_a_member_unless_dropped():
    rewards = [[1.0, 5.0], [0.0, 5.0], [0.0, 5.0], [1.0, 5.0]]
    options = dict(center_groups=False, whitening="none", eps=0.0)
    kept = run(rewards, [0] * 4, [1] * 4, **options)
    dropped = run(rewards, [0] * 4, [1] * 4, constant_rewards="drop", **options)
    z = 0.5 / math.sqrt(1 / 3)
    np.testing.assert_allclose(dropped, [z, -z, -z, z])
    # Z = (z, 0): the constant reward caps what is above it and softens what is below.
    np.testing.assert_allclose(kept[0], -0.5 * math.log((math.exp(-2 * z) + 1) / 2))
    assert 0 < kept[0] < z and -z < kept[1] < 0


def test_group_of_one_has_no_signal_but_counts():
    # Rows 0-1 are a group; row 2 is alone. It is 0 before whitening and part of its statistics.
    rewards = [[1.0], [0.0], [7.0]]
    alone = run(rewards, [0, 0, 1], [1, 1, 1], whitening="response", aggregation="mean")
    assert alone[2] == 0
    without = run(rewards[:2], [0, 0], [1, 1], whitening="response", aggregation="mean")
    assert abs(alone[0]) > abs(without[0])


def test_missing_reward_is_left_out_and_weights_are_renormalized():
    rewards = [[1.0, 0.0, NAN], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    options = dict(aggregation="mean", center_groups=False, whitening="none", weights=[[3.0, 1.0, 2.0]] * 3)
    z = standardize(torch.tensor(rewards).double(), torch.zeros(3, dtype=torch.long)).z_BM.numpy()
    actual = run(rewards, [0] * 3, [1] * 3, **options)
    np.testing.assert_allclose(actual[0], (3 * z[0, 0] + z[0, 1]) / 4)
    np.testing.assert_allclose(actual[1], (3 * z[1, 0] + z[1, 1] + 2 * z[1, 2]) / 6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("whitening", ["token", "response", "none"])
def test_response_without_any_reward_gets_zero_and_touches_no_statistic(aggregation, whitening):
    rng = np.random.default_rng(0)
    rewards, groups, lengths = rng.random((8, 3)), np.array([0] * 4 + [1] * 4), rng.integers(1, 9, 8)
    options = dict(aggregation=aggregation, whitening=whitening)
    plain = run(rewards, groups, lengths, **options)
    more = run(np.vstack([rewards, np.full((2, 3), NAN)]), [*groups, 0, 2], [*lengths, 99, 99], **options)
    np.testing.assert_allclose(more[:8], plain, atol=1e-12)
    assert (more[8:] == 0).all()


@pytest.mark.parametrize("whitening", ["token", "response", "none"])
def test_padding_rows_take_part_in_nothing(whitening):
    rng = np.random.default_rng(1)
    rewards, groups, lengths = rng.random((8, 3)), np.array([0] * 4 + [1] * 4), rng.integers(1, 9, 8)
    plain = run(rewards, groups, lengths, whitening=whitening)
    # Padding repeats a real row's rewards, in a group of its own or, at worst, in the real one.
    padded = run(
        np.vstack([rewards, rewards[:1], rewards[:1]]),
        [*groups, 2, 0],
        [*lengths, 5, 5],
        valid=[True] * 8 + [False] * 2,
        whitening=whitening,
    )
    np.testing.assert_allclose(padded[:8], plain, atol=1e-12)
    assert (padded[8:] == 0).all()


@pytest.mark.parametrize("k", [10.0**exponent for exponent in range(-8, 9)])
def test_softmin_is_precise_at_every_k(k):
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.full_like(z, 1 / 6)
    expected = [reference.aggregate(row, [1 / 6] * 6, "softmin", k, 1.0) for row in z.tolist()]
    np.testing.assert_allclose(aggregate(z, weights, k=k), expected, rtol=1e-12, atol=1e-13)


def test_k_zero_is_the_mean_and_k_infinite_the_minimum():
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = normalize_weights(torch.ones_like(z, dtype=torch.bool), None)
    np.testing.assert_allclose(aggregate(z, weights, k=0), z.mean(1))
    np.testing.assert_allclose(aggregate(z, weights, k=math.inf), z.amin(1))
    np.testing.assert_allclose(aggregate(z, weights, k=1e-12), z.mean(1), atol=1e-10)
    np.testing.assert_allclose(aggregate(z, weights, k=1e300), z.amin(1))


def test_second_order_expansion_is_the_variance_penalty():
    z = 1e-3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = normalize_weights(torch.ones_like(z, dtype=torch.bool), None)
    softmin = aggregate(z, weights, k=2.0)
    np.testing.assert_allclose(softmin, aggregate(z, weights, aggregation="variance", beta=1.0), atol=1e-8)


@pytest.mark.parametrize("k", [0, 1e-6, 0.5, 2.0, 100.0, math.inf])
def test_one_reward_gives_whitened_grpo_for_every_k(k):
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
    from verl.utils.torch_functional import masked_whiten

    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(16, generator=generator)
    lengths = torch.randint(1, 9, (16,), generator=generator)
    mask_BT = (torch.arange(8) < lengths[:, None]).long()
    token_level = torch.zeros(16, 8)
    token_level[:, 0] = scores
    grpo, _ = compute_grpo_outcome_advantage(token_level, mask_BT, np.arange(16) // 4)
    ours = advantage(scores[:, None], torch.arange(16) // 4, lengths, k=k)
    theirs = masked_whiten(grpo, mask_BT) * mask_BT
    np.testing.assert_allclose(broadcast(ours.advantage_B, mask_BT), theirs, atol=1e-5)


def test_large_k_never_overflows():
    z = torch.tensor([[-1e6, 1e6], [1e6, 1e6], [0.0, -1e300]]).double()
    for k in (1e8, 1e200, math.inf):
        assert torch.isfinite(aggregate(z, torch.full_like(z, 0.5), k=k)).all()
        assert torch.isfinite(softmin_weights(z, torch.full_like(z, 0.5), k)).all()


@pytest.mark.parametrize("k", [0, 1e-6, 0.5, 2.0, 50.0])
def test_softmin_weights_are_its_gradient(k):
    z = torch.randn(
        20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    weights = normalize_weights(torch.ones_like(z, dtype=torch.bool), torch.arange(1.0, 6.0).expand(20, 5))
    aggregate(z, weights, k=k).sum().backward()
    np.testing.assert_allclose(softmin_weights(z.detach(), weights, k), z.grad, atol=1e-7)


def test_softmin_weights_at_infinite_k_are_shared_among_the_lowest():
    z = torch.tensor([[0.0, 0.0, 1.0]]).double()
    weights = torch.full_like(z, 1 / 3)
    np.testing.assert_allclose(softmin_weights(z, weights, math.inf), [[0.5, 0.5, 0.0]])


def _groups_with_one_constant(seed=0, groups=400, size=8, rewards=6):
    generator = torch.Generator().manual_seed(seed)
    binary = torch.randint(0, 2, (groups, size, rewards), generator=generator).double()
    binary[0] = 0.0
    group_B = torch.arange(groups).repeat_interleave(size)
    return binary.flatten(0, 1), group_B, torch.full((groups * size,), 20)


def test_constant_group_receives_nothing_when_groups_are_centered():
    rewards, groups, lengths = _groups_with_one_constant()
    centered = advantage(rewards, groups, lengths, k=2.0, center_groups=True).advantage_B[:8]
    published = advantage(rewards, groups, lengths, k=2.0, center_groups=False).advantage_B[:8]
    assert centered.abs().max() < 1e-12
    # An all-wrong group is reinforced by one and a half standard deviations.
    assert 1.3 < published.mean() < 1.7


@settings(max_examples=40, deadline=None)
@given(batch=batches(), aggregation=st.sampled_from(list(AGGREGATIONS)))
def test_centered_groups_have_mean_zero(batch, aggregation):
    rewards, groups, lengths, _, _ = batch
    values = run(rewards, groups, lengths, aggregation=aggregation, whitening="none")
    for group in set(groups.tolist()):
        assert abs(values[groups == group].sum()) < 1e-9


@settings(max_examples=40, deadline=None)
@given(batch=batches(), whitening=st.sampled_from(["token", "response"]))
def test_whitened_advantages_have_mean_zero_and_unit_variance(batch, whitening):
    rewards, groups, lengths, _, _ = batch
    tensors = torch.tensor(rewards), torch.tensor(groups), torch.tensor(lengths)
    result, before = advantage(*tensors, whitening=whitening), advantage(*tensors, whitening="none")
    values, part = result.advantage_B.numpy(), result.takes_part_B.numpy()
    sample = np.repeat(values[part], lengths[part] if whitening == "token" else 1)
    if len(sample) > 1 and before.advantage_B[before.takes_part_B].numpy().std() > 1e-2:
        assert abs(sample.mean()) < 1e-9
        assert abs(sample.var(ddof=1) - 1) < 1e-3


def test_weights_generalize_equal_shares():
    rewards, groups, lengths = _groups_with_one_constant(groups=5, rewards=3)
    equal = advantage(rewards, groups, lengths, weights_BM=torch.full_like(rewards, 4.0))
    np.testing.assert_allclose(equal.advantage_B, advantage(rewards, groups, lengths).advantage_B)
    # A reward of weight 2 counts as two equal rewards.
    twice = torch.cat([rewards, rewards[:, :1]], 1)
    double = advantage(rewards, groups, lengths, weights_BM=torch.tensor([2.0, 1, 1]).expand_as(rewards))
    np.testing.assert_allclose(double.advantage_B, advantage(twice, groups, lengths).advantage_B, atol=1e-12)
    # Weight 0 only monitors.
    zero = advantage(rewards, groups, lengths, weights_BM=torch.tensor([0.0, 1, 1]).expand_as(rewards))
    np.testing.assert_allclose(
        zero.advantage_B, advantage(rewards[:, 1:], groups, lengths).advantage_B, atol=1e-12
    )


def test_ragged_prompts_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    five, seventeen = rng.random((4, 5)), rng.random((4, 17))
    both = np.full((8, 17), NAN)
    both[:4, :5], both[4:] = five, seventeen
    options = dict(whitening="none")
    together = run(both, [0] * 4 + [1] * 4, [1] * 8, **options)
    np.testing.assert_allclose(together[:4], run(five, [0] * 4, [1] * 4, **options))
    np.testing.assert_allclose(together[4:], run(seventeen, [0] * 4, [1] * 4, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": -1.0}, "k=-1.0"),
        ({"k": NAN}, "k=nan"),
        ({"whitening": "layer"}, "whitening='layer'; accepted: token"),
        ({"lengths": [1]}, r"length_B has shape \(1,\), expected \(2,\)"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    arguments = {"rewards": [[0.0], [1.0]], "groups": [0, 0], "lengths": [1, 1], **options}
    with pytest.raises(ValueError, match=message):
        run(**arguments)


def test_a_batch_without_rows_or_rewards_is_empty():
    none = torch.zeros(0, dtype=torch.long)
    assert advantage(torch.zeros(0, 3), none, none).advantage_B.shape == (0,)
    assert not advantage(torch.zeros(2, 0), torch.tensor([0, 0]), torch.tensor([1, 1])).advantage_B.any()


def test_broadcast_puts_the_advantage_on_trained_tokens_only():
    actual = broadcast(torch.tensor([2.0, -1.0]).double(), torch.tensor([[1, 1, 0], [0, 1, 0]]))
    assert actual.dtype == torch.float32
    assert actual.tolist() == [[2.0, 2.0, 0.0], [0.0, -1.0, 0.0]]


def test_the_bonus_lifts_the_cap_of_a_lone_success_and_gives_a_shortcut_nothing():
    """Six rewards of eight responses: a lone success has Z = 7 / sqrt(8), those without it -1 / sqrt(8)."""
    z = 7 / math.sqrt(8)
    lone, shortcut = [z, 0, 0, 0, 0, 0], [z, z, z, 0, 0, -z]
    partly, common = [z, -0.25, 0, 0, 0, 0], [0.9, 0.9, 0.9, 0, 0, 0]
    z_BM = torch.tensor([lone, shortcut, partly, common]).double()
    equal_BM = torch.full((4, 6), 1 / 6).double()
    np.testing.assert_allclose(success_bonus(z_BM, equal_BM), [z - 1, 0, 0.75 * (z - 1), 0], atol=1e-12)
    assert aggregate(z_BM, equal_BM)[0] < math.log(6 / 5) / 2 < success_bonus(z_BM, equal_BM)[0]
    # A reward without weight is no member: it neither earns nor guards.
    first_B = torch.tensor([[0, 0.2, 0.2, 0.2, 0.2, 0.2]]).double()
    np.testing.assert_allclose(success_bonus(z_BM[:1], first_B), [0.0])
