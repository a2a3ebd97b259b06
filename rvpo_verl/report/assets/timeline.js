// View "Over time": what the policy answered to the same prompt, step by step.
"use strict";
const timelineView = (() => {
  const LISTED = 300;

  // Groups of prompts that come back, validation first: [{run, prompt, groups}].
  function recurring(report) {
    const byPrompt = new Map();
    for (let g = 0; g < report.count; g++) {
      const key = `${report.groups.run[g]} ${report.groups.validation[g]} ${report.groups.prompt[g]}`;
      if (!byPrompt.has(key)) byPrompt.set(key, []);
      byPrompt.get(key).push(g);
    }
    const score = (g) => {
      const [first] = report.offsets[g], size = report.groups.size[g];
      return report.answers.score.slice(first, first + size).reduce((a, b) => a + b, 0) / size;
    };
    return [...byPrompt.values()].filter((groups) => new Set(groups.map((g) => report.groups.step[g])).size > 1)
      .map((groups) => {
        groups.sort((a, b) => report.groups.step[a] - report.groups.step[b]);
        return { groups, validation: Boolean(report.groups.validation[groups[0]]), moved: score(groups.at(-1)) - score(groups[0]) };
      }).sort((a, b) => b.validation - a.validation || Math.abs(b.moved) - Math.abs(a.moved));
  }

  function render(app) {
    const { report, state } = app;
    const prompts = (app.recurring ??= recurring(report));
    if (!prompts.length) return [h("p", { class: "empty" }, "No prompt comes back in another step. "
      + "Set trainer.validation_data_dir and trainer.test_freq, and validation prompts will be here.")];
    const left = app.found ? prompts.filter((one) => one.groups.some((g) => app.found.has(g))) : prompts;
    const chosen = left.find((one) => one.groups.some((g) => String(g) === state.group)) ?? left[0];
    const search = h("input", { type: "search", id: "search", placeholder: "Search  ( / )", value: state.search,
      "aria-label": "Search prompts and answers", onchange: () => app.search(search.value) });
    const list = h("nav", { class: "prompts" }, left.slice(0, LISTED).map((one) => {
      return h("button", { "aria-pressed": one === chosen, onclick: () => app.set({ group: String(one.groups[0]), answer: "" }) },
        snippetOf(app, report.groups.prompt[one.groups[0]]), h("small", { class: one.moved < 0 ? "warn" : "muted", title: "score, last step against first" }, signed(one.moved)));
    }), left.length > LISTED ? h("p", { class: "muted" }, `and ${count(left.length - LISTED)} more; search for them`) : null);
    const aside = h("div", { class: "card side" }, search, h("p", { class: "muted small" }, `${plural(left.length, "prompt")}, largest change of score first`), list);
    if (!chosen) return [h("div", { class: "split" }, aside, h("p", { class: "empty" }, "Nothing found."))];

    const groups = chosen.groups.map((g) => report.group(g));
    const names = [...new Set(groups.flatMap((group) => group.names))];
    const average = (group, name) => {
      const j = group.names.indexOf(name);
      const there = j < 0 ? [] : group.rewards.map((row) => row[j]).filter((value) => value !== null);
      return there.length ? there.reduce((a, b) => a + b, 0) / there.length : null;
    };
    const chart = charts.lines({ title: "rewards of this prompt", note: groups.some((group) => group.size > 1) ? "mean of its answers" : "",
      x: groups.map((group) => group.step), height: 170,
      series: names.map((name, n) => ({ label: name, values: groups.map((group) => average(group, name)), color: colorOf(n), dash: dashOf(n) })) });
    const prompt = answerView.show(app, groups[0].prompt, h("div", { class: "text" }), false);
    const entries = groups.map((group) => {
      const i = Math.min(Number(app.sample?.[group.g] ?? 0), group.size - 1);
      const pick = group.size > 1 ? h("select", { "aria-label": "which answer", onchange: (event) => {
        (app.sample ??= {})[group.g] = event.target.value;
        app.draw();
      } }, group.scores.map((_, n) => h("option", { value: n, selected: n === i }, `answer ${n + 1} of ${group.size}`))) : null;
      return h("article", { class: "card moment" },
        h("header", {}, h("b", {}, `step ${group.step}`), pick,
          group.names.map((name, j) => h("span", { class: "chip" }, `${name} `, h("b", {}, number(group.rewards[i][j])))),
          h("a", { href: app.link({ view: "group", group: group.g, answer: i }) }, "open the group")),
        answerView.show(app, group.texts[i], h("div", { class: "text clamp" })));
    });
    return [h("div", { class: "split" }, aside, h("div", {},
      h("div", { class: "card prompt" }, h("details", {}, h("summary", {}, h("b", {}, "Prompt "), snippetOf(app, groups[0].prompt)), prompt)),
      h("div", { class: "card" }, chart), entries))];
  }

  return { title: "Over time", render };
})();
