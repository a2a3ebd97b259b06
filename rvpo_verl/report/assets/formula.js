// The equations of rvpo_verl/core/advantage.py and aggregations.py for one group, up to whitening, which needs the
// whole batch. tests/report/test_formula.py holds them against the Python ones.
//
// B answers, M rewards. Matrices are arrays of rows; a missing reward is null.
"use strict";
const formula = (() => {
  const DEFAULTS = {
    aggregation: "softmin", k: 2, beta: 1, eps: 1e-6, constant_rewards: "keep", bonus: 0, center_groups: true,
  };
  const AGGREGATIONS = ["softmin", "mean", "min", "variance"];
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const clip = (value, low, high) => Math.min(Math.max(value, low), high);
  const isPresent = (value) => value !== null && Number.isFinite(value);

  function meanAndDeviation(values) {
    const mean = sum(values) / Math.max(values.length, 1);
    const squares = sum(values.map((value) => (value - mean) ** 2));
    return [mean, Math.sqrt(squares / Math.max(values.length - 1, 1))];
  }

  // Z of every reward, 0 where it is missing or constant in the group.
  function standardize(rewards, eps) {
    const M = rewards.length ? rewards[0].length : 0;
    const z = rewards.map((row) => row.map(() => 0));
    const constant = rewards.map((row) => row.map(() => false));
    for (let j = 0; j < M; j++) {
      const values = rewards.map((row) => row[j]).filter(isPresent);
      const low = Math.min(...values), high = Math.max(...values);
      const isConstant = high - low <= 8 * Number.EPSILON * Math.max(Math.abs(low), Math.abs(high));
      const [mean, deviation] = meanAndDeviation(values);
      rewards.forEach((row, i) => {
        if (!isPresent(row[j])) return;
        constant[i][j] = isConstant;
        if (!isConstant) z[i][j] = (row[j] - mean) / (deviation + eps);
      });
    }
    return { z, constant };
  }

  function normalizeWeights(row, isMember) {
    const kept = row.map((weight, j) => (isMember[j] ? weight : 0));
    const total = sum(kept);
    return kept.map((weight) => weight / (total > 0 ? total : 1));
  }

  const members = (z, weight) => z.filter((_, j) => weight[j] > 0);
  const lowest = (z, weight) => (weight.some((value) => value > 0) ? Math.min(...members(z, weight)) : 0);
  const mean = (z, weight) => sum(z.map((value, j) => weight[j] * value));

  function aggregate(z, weight, settings) {
    const low = lowest(z, weight);
    if (settings.aggregation === "min" || (settings.aggregation === "softmin" && settings.k === Infinity)) return low;
    if (settings.aggregation === "variance") {
      const center = mean(z, weight);
      return center - settings.beta * sum(z.map((value, j) => weight[j] * (value - center) ** 2));
    }
    if (settings.aggregation === "mean" || settings.k === 0) return mean(z, weight);
    const below = sum(z.map((value, j) => weight[j] * Math.expm1(-settings.k * Math.max(value - low, 0))));
    return low - Math.log1p(below) / settings.k;
  }

  // dA/dZ: how much of an answer's value each reward decides.
  function shares(z, weight, settings) {
    const low = lowest(z, weight);
    const isLowest = z.map((value, j) => weight[j] > 0 && value === low);
    if (settings.aggregation === "min") return isLowest.map((is) => (is ? 1 / isLowest.filter(Boolean).length : 0));
    if (settings.aggregation === "variance") {
      const center = mean(z, weight);
      return z.map((value, j) => weight[j] * (1 - 2 * settings.beta * (value - center)));
    }
    if (settings.aggregation === "mean" || settings.k === 0) return weight;
    const decayed = z.map((value, j) => {
      const above = Math.max(value - low, 0);
      return weight[j] * (above > 0 ? Math.exp(-settings.k * above) : 1);
    });
    const total = sum(decayed);
    return decayed.map((value) => value / (total > 0 ? total : 1));
  }

  function bonus(z, weight) {
    const guard = clip(1 + lowest(z, weight), 0, 1);
    return guard * members(z, weight).length * sum(z.map((value, j) => weight[j] * Math.max(value - 1, 0)));
  }

  function centered(values, takesPart) {
    const present = values.filter((_, i) => takesPart[i]);
    const center = sum(present) / Math.max(present.length, 1);
    return values.map((value, i) => (takesPart[i] ? value - center : 0));
  }

  // verl's `compute_grpo_outcome_advantage` on the scalar scores of the group.
  function grpo(scores) {
    if (scores.length < 2) return scores.map(() => 0);
    const [center, deviation] = meanAndDeviation(scores);
    return scores.map((score) => (score - center) / (deviation + 1e-6));
  }

  // Everything about a group: {rewards: B x M, weights: B x M, scores: B}.
  function compute(group, given = {}) {
    const settings = { ...DEFAULTS, ...given };
    const { z, constant } = standardize(group.rewards, settings.eps);
    const present = group.rewards.map((row) => row.map(isPresent));
    const takesPart = present.map((row) => row.some(Boolean));
    const isMember = present.map((row, i) =>
      row.map((there, j) => there && !(settings.constant_rewards === "drop" && constant[i][j])));
    const weight = group.weights.map((row, i) => normalizeWeights(row, isMember[i]));
    const aggregated = z.map((row, i) =>
      aggregate(row, weight[i], settings) + (settings.bonus ? settings.bonus * bonus(row, weight[i]) : 0));
    const means = z.map((row, i) => mean(row, weight[i]));
    const sumAdvantage = grpo(group.scores);
    const varies = present.map((row, i) => row.some((there, j) => there && !constant[i][j]));
    return {
      z, present, constant, weight, takesPart, aggregate: aggregated,
      share: z.map((row, i) => shares(row, weight[i], settings)),
      lowest: z.map((row, i) => (varies[i] ? lowest(row, weight[i]) : 0)),
      advantage: settings.center_groups
        ? centered(aggregated, takesPart)
        : aggregated.map((value, i) => (takesPart[i] ? value : 0)),
      gdpo: centered(means, takesPart),
      grpo: sumAdvantage,
      // `rvpo/reward_variance` of each answer.
      variance: z.map((row, i) => sum(row.map((value, j) => weight[i][j] * (value - means[i]) ** 2))),
      // How far an answer that the sum reinforces lies down under one reward: min(GRPO, -Z), 0 at least.
      neglect: z.map((row, i) => row.map((value, j) =>
        (weight[i][j] > 0 ? Math.max(0, Math.min(sumAdvantage[i], -value)) : 0))),
    };
  }

  // Whether two advantages would push an answer in opposite directions.
  const TOLERANCE = 1e-9;
  const opposes = (a, b) => Math.min(Math.abs(a), Math.abs(b)) > TOLERANCE && Math.sign(a) !== Math.sign(b);

  return { DEFAULTS, AGGREGATIONS, compute, opposes };
})();
