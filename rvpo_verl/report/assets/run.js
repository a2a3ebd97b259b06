// View "Run": what the training logged.
"use strict";
const runView = (() => {
  const SCORE = "reward";

  // Names of rewards that a run logged, each with its training and validation curves.
  function rewardsOf(run, validated) {
    const pattern = new RegExp(`^(?:${validated})$`.replaceAll("(?P<", "(?<"));
    const rewards = new Map();
    const entry = (name) => {
      if (!rewards.has(name)) rewards.set(name, { validation: [] });
      return rewards.get(name);
    };
    for (const name of Object.keys(run.metrics)) {
      const trained = /^(rvpo|gdpo)\/(.+)\/mean$/.exec(name);
      if (trained) Object.assign(entry(trained[2]), {
        mean: run.metrics[name], deviation: run.metrics[`${trained[1]}/${trained[2]}/std`] });
    }
    for (const [name, values] of Object.entries(run.metrics)) {
      const match = pattern.exec(name);
      if (match && !match.groups.name.startsWith("rvpo_")) entry(match.groups.name === SCORE ? "score" : match.groups.name)
        .validation.push({ source: match.groups.source, values });
    }
    if (run.metrics["critic/score/mean"]) entry("score").mean = run.metrics["critic/score/mean"];
    return rewards;
  }

  // Steps in which a flag of the monitor was up, as spans.
  function spansOf(steps, values) {
    const spans = [];
    values?.forEach((value, i) => {
      if (value !== 1) return;
      const last = spans.at(-1);
      if (last && last.index === i - 1) Object.assign(last, { to: steps[i], index: i });
      else spans.push({ from: steps[i], to: steps[i], index: i });
    });
    return spans;
  }

  const MEANING = {
    frozen: "hardly varies within any group, and is low although better values occurred: it is not being learned",
    neglected: "falls while most other rewards rise",
    no_signal: "no reward varies in any group: the step teaches nothing",
    absent: "no response has it",
  };

  function warningsOf(run, r) {
    const found = [];
    for (const [name, values] of Object.entries(run.metrics)) {
      const flag = /^rvpo\/(?:(.+)\/)?(frozen|neglected|no_signal)$/.exec(name);
      const missing = /^rvpo\/(.+)\/missing$/.exec(name);
      const [reward, kind] = flag ? [flag[1], flag[2]] : missing ? [missing[1], "absent"] : [];
      if (!kind) continue;
      for (const span of spansOf(run.steps, values)) found.push({ ...span, run: r, reward, kind });
    }
    return found.sort((a, b) => a.from - b.from);
  }

  const spanText = (span) => (span.from === span.to ? `step ${span.from}` : `steps ${span.from} to ${span.to}`);

  function render(app) {
    const { report } = app;
    const several = report.runs.length > 1;
    const steps = [...new Set(report.runs.flatMap((run) => run.steps))].sort((a, b) => a - b);
    const aligned = report.runs.map((run) => new Map(run.steps.map((step, i) => [step, i])));
    const along = (r, values) => steps.map((step) => {
      const i = aligned[r].get(step);
      return i === undefined || !values ? null : values[i];
    });
    const rewards = report.runs.map((run) => rewardsOf(run, report.validated));
    const names = [...new Set(rewards.flatMap((of) => [...of.keys()]))].sort((a, b) => (a === "score") - (b === "score"));
    const parts = names.filter((name) => name !== "score");
    const warnings = report.runs.flatMap(warningsOf);
    const metric = (r, name) => report.runs[r].metrics[name];
    const some = (values) => values?.some((value) => value !== null);

    const rewardCharts = names.map((name, index) => {
      const series = [];
      report.runs.forEach((run, r) => {
        const curves = rewards[r].get(name);
        if (!curves) return;
        const color = colorOf(several ? r : index);
        const label = several ? run.label : "training";
        if (some(curves.mean)) {
          const mean = along(r, curves.mean), deviation = curves.deviation && along(r, curves.deviation);
          const shifted = (sign) => deviation && mean.map((value, i) =>
            (value === null || deviation[i] === null ? null : value + sign * deviation[i]));
          series.push({ label, values: mean, color, low: several ? undefined : shifted(-1),
            high: several ? undefined : shifted(1) });
        }
        curves.validation.forEach(({ source, values }, i) => series.push({
          label: `${several ? `${run.label}, ` : ""}validation${curves.validation.length > 1 ? ` ${source}` : ""}`,
          values: along(r, values), color: several ? color : colorOf(index), points: true, dash: dashOf(i) }));
      });
      const spans = warnings.filter((warning) => warning.reward === name || (name === "score" && !warning.reward));
      const note = name === "score" ? "verl's scalar score, the sum that GRPO trains on" : several || !series.some((one) => one.low) ? "" : "mean ± std";
      return charts.lines({ title: name, note, x: steps, series, spans });
    });

    // One line a reward, dashed by run.
    const perReward = (title, note, what, zero = true) => {
      const series = [];
      report.runs.forEach((run, r) => parts.forEach((name, index) => {
        const values = metric(r, `rvpo/${name}/${what}`);
        if (some(values)) series.push({ label: several ? `${name} (${run.label})` : name, values: along(r, values),
          color: colorOf(index), dash: several ? dashOf(PALETTE.light.length * r) : dashOf(index) });
      }));
      return series.length ? charts.lines({ title, note, x: steps, series, zero }) : null;
    };
    const perRun = (title, note, name) => {
      const series = report.runs.map((run, r) => ({ run, r, values: metric(r, name) })).filter((one) => some(one.values))
        .map(({ run, r, values }) => ({ label: several ? run.label : title, values: along(r, values), color: colorOf(r) }));
      return series.length ? charts.lines({ title, note, x: steps, series, zero: true }) : null;
    };

    const facts = report.runs.map((run) => {
      const { rollouts, validation } = run.shown;
      const shown = (part, what) => (part.of
        ? `${count(part.groups)} of ${count(part.of)} ${what} groups are in this page` : null);
      const last = run.steps.at(-1);
      return h("div", { class: "facts" }, h("b", {}, run.label),
        h("span", {}, run.steps.length ? `${plural(run.steps.filter((step) => step > 0).length, "step")} logged, the last is ${last}`
          : "no metrics"),
        h("span", {}, shown(rollouts, "training"), rollouts.groups < rollouts.of
          ? ": in each step, half of them those that disagree most, half drawn at random" : ""),
        h("span", {}, shown(validation, "validation"), validation.groups < validation.of
          ? ": the same prompts in every step" : ""),
        run.calls.total ? h("span", {}, `${plural(run.calls.total, "logged call")} of the judge, ${count(run.calls.shown)} of them about answers in this page`) : null);
    });

    const rows = warnings.map((warning) => h("tr", {},
      several ? h("td", {}, report.runs[warning.run].label) : null,
      h("td", { class: "nowrap" }, spanText(warning)),
      h("td", {}, h("span", { class: "warn" }, `▲ ${warning.kind.replace("_", " ")}`)),
      h("td", {}, warning.reward ?? "all rewards"), h("td", { class: "muted" }, MEANING[warning.kind])));

    const metricNames = [...new Set(report.runs.flatMap((run) => Object.keys(run.metrics)))].sort();
    const any = h("div");
    const select = h("select", { id: "metric", "aria-label": "Metric", onchange: () => {
      any.replaceChildren(...(select.value ? [perRun(select.value, "", select.value)] : []));
    } }, h("option", { value: "" }, "any other metric …"), metricNames.map((name) => h("option", { value: name }, name)));

    const section = (title, ...content) => {
      const shown = content.flat().filter(Boolean);
      return shown.length ? [h("h2", {}, title), h("div", { class: "grid" }, shown)] : [];
    };
    return [
      h("div", { class: "card" }, facts, report.problem_count ? h("details", { class: "problems" },
        h("summary", {}, h("span", { class: "warn" }, `▲ ${plural(report.problem_count, "damaged line")} left out`)),
        h("ul", {}, report.problems.map((line) => h("li", {}, visible(line))))) : null),
      warnings.length ? [h("h2", {}, "Warnings of the monitor"), h("div", { class: "card" },
        h("table", { class: "plain", id: "warnings" }, h("tbody", {}, rows)))]
        : steps.length ? h("p", { class: "muted quiet" }, "The monitor gave no warning.") : null,
      section("Rewards", rewardCharts),
      section("What decides",
        perReward("weight in the aggregate", "how much of an advantage each reward decides", "weight"),
        perReward("bottleneck", "share of answers whose lowest Z is this reward", "bottleneck"),
        perRun("k", "risk coefficient of the soft minimum", "rvpo/k"),
        perRun("disagreement", "variance of Z over the rewards of an answer", "rvpo/reward_variance")),
      section("What teaches nothing",
        perReward("constant groups", "share of groups in which a reward does not vary", "constant_groups"),
        perRun("constant groups, all rewards", "share of groups whose advantages are all 0", "rvpo/constant_groups/share"),
        perReward("missing", "share of answers without the reward", "missing"),
        perReward("failed", "share of a reward's calls that failed", "failed"),
        perReward("judge's disagreement", "between votes on the same statement", "disagreement")),
      metricNames.length ? [h("h2", {}, "Any metric"), h("div", { class: "grid" }, h("div", { class: "card" }, select, any))]
        : null,
    ];
  }

  return { title: "Run", render };
})();
