// View "Group": the answers to one prompt, what each reward gave them, and what became of it.
"use strict";
const groupView = (() => {
  const SHOW = { all: "all", raw: "raw", z: "Z", weight: "weight" };
  const WIDE = 5; // rewards from which on a cell shows one number

  // k on a slider from 0 to 100: 0, then 1/32 to 64 in even steps of its logarithm, then infinity.
  const kAt = (place) => (place <= 0 ? 0 : place >= 100 ? Infinity : 2 ** (-5 + (11 * (place - 1)) / 98));
  const placeOf = (k) => (k <= 0 ? 0 : k === Infinity ? 100 : Math.min(99, Math.max(1, 1 + (98 * (Math.log2(k) + 5)) / 11)));
  const kText = (k) => (k === Infinity ? "∞" : String(Number(k.toPrecision(4))));
  const readK = (text) => (/^\s*(inf|infinity|∞)\s*$/i.test(text) ? Infinity : Number(text.trim() || NaN));

  function settingsOf(app, g) {
    const trained = app.report.trainedSettings(g), { state } = app;
    return {
      ...trained,
      ...(state.aggregation ? { aggregation: state.aggregation } : {}),
      ...(state.k !== "" ? { k: readK(state.k) } : {}),
      ...(state.constant ? { constant_rewards: state.constant } : {}),
      ...(state.center !== "" ? { center_groups: state.center === "1" } : {}),
    };
  }

  function trainedWith(settings, trained) {
    if (settings.k !== undefined) return `Trained with k = ${kText(trained.k)}.`;
    return settings.estimator ? `Trained with ${settings.estimator}; RVPO is shown as it would be.` : "k of the training is not known.";
  }

  function cell(result, group, i, j, show) {
    const raw = group.rewards[i][j];
    const place = { "data-answer": i, "data-reward": j };
    if (!result.present[i][j]) return h("td", { class: "cell missing", title: "missing: left out of every statistic", ...place }, "missing");
    const z = result.z[i][j], share = result.share[i][j];
    const most = share > 0 && share === Math.max(...result.share[i]) && result.share[i].filter((one) => one === share).length === 1;
    const title = `${group.names[j]}: raw ${raw}, Z ${z.toFixed(4)}, weight in the aggregate ${(100 * share).toFixed(1)} %`
      + (result.constant[i][j] ? "; constant in this group" : "");
    const background = show === "weight" ? `color-mix(in oklab, var(--weight) ${Math.round(70 * Math.min(Math.abs(share), 1))}%, transparent)` : heat(z);
    const weight = h("span", { class: "share", vars: { part: `${100 * Math.max(0, Math.min(share, 1))}%` } }, h("i"), `${Math.round(100 * share)}%`);
    const content = show === "all"
      ? [h("b", { class: "raw" }, number(raw)), h("span", { class: "z" }, signed(z)), weight]
      : [h("b", {}, { raw: number(raw), z: signed(z), weight: `${Math.round(100 * share)}%` }[show])];
    return h("td", { class: `cell ${show} ${most ? "most" : ""} ${result.constant[i][j] ? "constant" : ""}`, title, vars: { heat: background }, ...place }, content);
  }

  const advantageCell = (value, name, opposed, title) => h("td", {
    class: `advantage ${opposed ? "opposed" : ""}`, "data-advantage": name, title, vars: { heat: heat(value ?? 0, 1.5) } },
  value === null || value === undefined ? "–" : signed(value, 3), opposed ? h("span", { class: "flip" }, "⇄") : null);

  function table(app, group, result, show) {
    const order = [...app.answerOrder];
    const sorter = (key, label, title) => h("th", { title, class: `sortable ${key.startsWith("r") ? "vertical" : ""}`, scope: "col" },
      h("button", { onclick: () => app.sortAnswers(key), "aria-pressed": app.answerKey === key }, label, app.answerKey === key ? " ↓" : ""));
    const head = h("tr", {}, h("th", { scope: "col" }, "#"), group.names.map((name, j) => sorter(`reward${j}`, breakable(group.shortNames[j]), name)),
      sorter("advantage", "RVPO", "with the settings above, before whitening over the batch"),
      sorter("gdpo", "GDPO", "the weighted mean of Z"),
      sorter("grpo", "GRPO", "the group's score, standardized: what the sum of the rewards would teach"),
      sorter("trained", "trained", "the advantage that was trained with, after whitening over the batch"));
    const rows = order.map((i) => {
      const current = app.answer === i;
      const other = { gdpo: formula.opposes(result.advantage[i], result.gdpo[i]), grpo: formula.opposes(result.advantage[i], result.grpo[i]) };
      return h("tr", { class: current ? "current" : "", "data-row": i, tabindex: 0, "aria-selected": current,
        onclick: () => app.set({ answer: String(i) }, { keep: true }),
        onkeydown: (event) => event.key === "Enter" && app.set({ answer: String(i) }, { keep: true }) },
      h("th", { scope: "row" }, String(i + 1)),
      group.names.map((_, j) => cell(result, group, i, j, show)),
      advantageCell(result.takesPart[i] ? result.advantage[i] : null, "rvpo", false, "RVPO"),
      advantageCell(result.gdpo[i], "gdpo", other.gdpo, other.gdpo ? "GDPO has the opposite sign" : "GDPO"),
      advantageCell(result.grpo[i], "grpo", other.grpo, other.grpo ? "GRPO has the opposite sign" : "GRPO"),
      advantageCell(group.trained[i], "trained", false, "as trained"));
    });
    return h("table", { class: `heat ${group.names.length > WIDE ? "many" : ""}`, id: "answers" }, h("thead", {}, head), h("tbody", {}, rows));
  }

  // Advantages of all answers against k.
  function curves(app, group, settings) {
    const places = Array.from({ length: 51 }, (_, i) => 2 * i);
    const results = places.map((place) => formula.compute(group, { ...settings, aggregation: "softmin", k: kAt(place) }).advantage);
    const current = app.answer;
    const series = group.scores.map((_, i) => ({ label: `#${i + 1}`, values: results.map((row) => row[i]),
      color: i === current ? colorOf(1) : `${cssColor("muted")}80`, current: i === current }));
    series.sort((a, b) => a.current - b.current);
    const names = places.map((place) => number(kAt(place), kAt(place) >= 10 || kAt(place) === 0 ? 0 : 2));
    const byPlace = Object.fromEntries(places.map((place, i) => [place, names[i]]));
    return charts.lines({ title: "advantage against k", note: `answer #${current + 1} and the others`, x: places, series,
      xLabel: "k", xValues: Object.assign(names, byPlace), height: 118, mark: () => placeOf(app.kNow) });
  }

  function notes(app, group, i) {
    const { report } = app, found = report.notes[group.firstAnswer + i] ?? {};
    const text = (id) => answerView.show(app, id, h("div", { class: "text" }), false);
    const items = [];
    for (const [name, cause] of Object.entries(found.failures ?? {}))
      items.push(h("div", { class: "note" }, h("span", { class: "warn" }, `▲ ${name} failed`), h("p", {}, visible(cause))));
    for (const [name, id] of Object.entries(found.texts ?? {})) items.push(h("div", { class: "note" }, h("b", {}, name), text(id)));
    for (const [name, value] of Object.entries(found.disagreements ?? {}))
      items.push(h("div", { class: "note" }, h("b", {}, name), ` votes of the judge disagree: ${number(value)}`));
    const calls = (found.calls ?? []).map((call) => {
      const question = h("div", { class: "question" });
      report.texts.get(call.question).then((asked) => {
        question.textContent = visible(asked.replace(/^Statements about the answer:\n/, "").replace(/\n\nWrite exactly[\s\S]*$/, ""));
      });
      return h("div", { class: "note call-of-judge" }, question,
        call.verdict !== null ? h("p", {}, "verdict ", h("b", {}, visible(call.verdict))) : null,
        call.cause !== null ? h("p", { class: "warn" }, `▲ ${visible(call.cause)}`) : null,
        call.reply !== null ? h("details", {}, h("summary", {}, "the judge's reply"), text(call.reply)) : null);
    });
    if (calls.length) items.push(h("h3", {}, plural(calls.length, "call of the judge", "calls of the judge")), calls);
    return items;
  }

  function render(app) {
    const { report, state } = app;
    if (!report.count) return [h("p", { class: "empty" }, NO_DUMPS)];
    const order = app.order ?? (app.order = conflictsView.ordered(app));
    const g = state.group === "" ? (order[0] ?? 0) : Math.min(Number(state.group), report.count - 1);
    const group = report.group(g), settings = settingsOf(app, g), trained = report.trainedSettings(g);
    const result = formula.compute(group, settings);
    app.kNow = settings.k;
    if (app.orderedGroup !== g) Object.assign(app, { orderedGroup: g, answerKey: "advantage" });
    const values = { advantage: result.advantage, gdpo: result.gdpo, grpo: result.grpo, trained: group.trained,
      ...Object.fromEntries(group.names.map((_, j) => [`reward${j}`, group.rewards.map((row) => row[j])])) };
    const reorder = () => {
      const by = values[app.answerKey] ?? result.advantage;
      app.answerOrder = group.scores.map((_, i) => i).sort((a, b) => (by[b] ?? -Infinity) - (by[a] ?? -Infinity) || a - b);
    };
    // While k moves, rows stay where they are.
    if (app.keptOrder !== `${g} ${app.answerKey}` || app.answerOrder.length !== group.size) reorder();
    app.keptOrder = `${g} ${app.answerKey}`;
    // Without a choice, the answer in which the rewards disagree most to its cost.
    const neglect = result.neglect.map((row) => Math.max(0, ...row));
    const worst = Math.max(...neglect) > 0 ? neglect.indexOf(Math.max(...neglect)) : app.answerOrder[0];
    const i = app.answer = state.answer === "" ? worst : Math.min(Number(state.answer), group.size - 1);
    const show = state.show || (group.names.length > WIDE ? "z" : "all");
    const summary = report.summarize()[g], place = order.indexOf(g);

    const tableBox = h("div", { class: "scroll", id: "table" }, table(app, group, result, show));
    const chartBox = h("div", { id: "curves" }, curves(app, group, settings));
    const k = h("input", { type: "text", id: "k", size: 5, value: kText(settings.k),
      inputmode: "decimal", "aria-label": "k", onchange: () => {
        const value = readK(k.value);
        if (value >= 0) app.set({ k: String(value) }); else k.value = String(settings.k);
      } });
    // Only numbers change while the slider moves: what is under the pointer stays.
    const slider = h("input", { type: "range", id: "slider", min: 0, max: 100, step: 0.5, value: placeOf(settings.k), "aria-label": "k",
      "aria-valuetext": number(settings.k), oninput: () => {
        const value = kAt(Number(slider.value));
        k.value = kText(value);
        const now = { ...settings, aggregation: "softmin", k: readK(k.value) };
        app.kNow = now.k;
        tableBox.replaceChildren(table(app, group, formula.compute(group, now), show));
        chartBox.firstChild.redraw?.();
      }, onchange: () => app.set({ k: String(readK(k.value)), aggregation: "softmin" }) });
    const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);
    const changed = JSON.stringify(settings) !== JSON.stringify(trained) || String(settings.k) !== String(trained.k);
    const foreign = group.settings.aggregation && !formula.AGGREGATIONS.includes(group.settings.aggregation);
    const usesK = settings.aggregation === "softmin";

    const steps = (offset) => order[place + offset];
    const go = (offset, label, key) => h("button", { disabled: steps(offset) === undefined, title: `key ${key}`,
      onclick: () => app.set({ group: String(steps(offset)), answer: "" }) }, label);
    const prompt = answerView.show(app, group.prompt, h("div", { class: "text" }), false);
    const truth = group.truth === null ? null : h("details", {}, h("summary", {}, "what was expected (ground truth)"),
      answerView.show(app, group.truth, h("div", { class: "text" })));
    const opposed = result.advantage.filter((value, n) => formula.opposes(value, result.gdpo[n]) || formula.opposes(value, result.grpo[n])).length;

    return [
      h("div", { class: "controls" }, go(-1, "← previous", "p"), go(1, "next →", "n"),
        h("span", {}, place >= 0 ? `group ${count(place + 1)} of ${count(order.length)}` : "a group outside of the list"),
        h("span", { class: "chip" }, group.validation ? "validation" : "training"), h("span", { class: "chip", id: "step" }, `step ${group.step}`),
        report.runs.length > 1 ? h("span", { class: "chip" }, report.runs[group.run].label) : null,
        h("span", { class: "muted" }, `disagreement ${number(summary.disagreement)} · neglect ${number(summary.neglect)}`
          + (summary.neglected >= 0 ? ` of ${group.names[summary.neglected]}` : ""))),
      h("div", { class: "card prompt" }, h("details", { open: app.promptOpen, ontoggle: (event) => { app.promptOpen = event.target.open; } },
        h("summary", {}, h("b", {}, "Prompt "), snippetOf(app, group.prompt)), prompt), truth),
      h("div", { class: "what-if" },
        h("div", { class: "card" },
          h("div", { class: "controls tight" },
            h("label", {}, "aggregation ", h("select", { id: "aggregation", onchange: (event) => app.set({ aggregation: event.target.value }) },
              option("softmin", "softmin (RVPO)", settings.aggregation), option("mean", "mean (GDPO)", settings.aggregation),
              option("min", "min", settings.aggregation), option("variance", "variance penalty", settings.aggregation))),
            h("label", {}, "constant rewards ", h("select", { id: "constant", onchange: (event) => app.set({ constant: event.target.value }) },
              option("keep", "keep", settings.constant_rewards), option("drop", "drop", settings.constant_rewards))),
            h("label", {}, h("input", { type: "checkbox", id: "center", checked: settings.center_groups,
              onchange: (event) => app.set({ center: event.target.checked ? "1" : "0" }) }), " center groups")),
          h("div", { class: `k-row ${usesK ? "" : "off"}` }, h("label", { for: "slider" }, h("b", {}, "k")), h("span", { class: "muted" }, "0 mean"), slider, h("span", { class: "muted" }, "∞ min"), k),
          h("p", { class: "muted small" }, trainedWith(group.settings, trained), " ",
            foreign ? `Its aggregation, ${group.settings.aggregation}, cannot be computed here; softmin is shown. ` : "",
            changed ? h("button", { id: "reset", onclick: () => app.set({ k: "", aggregation: "", constant: "", center: "" }) }, "as trained") : null),
          h("p", { class: "small" }, opposed ? h("span", { id: "opposed" }, h("span", { class: "flip" }, "⇄"),
            ` ${plural(opposed, "answer")} of ${group.size} would be pushed the other way by GDPO or GRPO`) : h("span", { class: "muted", id: "opposed" }, "GDPO and GRPO push every answer in the same direction as RVPO"))),
        h("div", { class: "card" }, chartBox)),
      h("div", { class: "card" },
        h("div", { class: "controls tight" }, h("span", { class: "legend" },
          h("span", {}, h("i", { class: "swatch box", vars: { color: "var(--above)" } }), "Z above the group's mean"),
          h("span", {}, h("i", { class: "swatch box", vars: { color: "var(--below)" } }), "below it"),
          h("span", {}, h("i", { class: "swatch frame" }), "decides most of the answer's value"),
          show === "all" ? h("span", {}, "a cell: raw reward, Z, weight in the aggregate") : null),
        h("span", { class: "tabs small", role: "group", "aria-label": "number in a cell" }, Object.entries(SHOW).map(([value, label]) =>
          h("button", { "aria-pressed": show === value, onclick: () => app.set({ show: value }, { keep: true }) }, label)))),
        tableBox),
      h("div", { class: "card answer", id: "answer" }, h("h3", {}, `Answer #${i + 1}`, h("small", {}, `score ${number(group.scores[i])}`),
        h("span", { class: "tabs small", role: "group", "aria-label": "text of the answer" }, [["", "laid out"], ["1", "as it is"]].map(([value, label]) =>
          h("button", { "aria-pressed": state.plain === value, onclick: () => app.set({ plain: value }, { keep: true }) }, label)))),
        h("div", { class: "columns" }, answerView.show(app, group.texts[i], h("div", { class: "text", id: "answer-text" }), !state.plain),
          h("aside", {}, notes(app, group, i)))),
    ];
  }

  return { title: "Group", render };
})();
