// View "Conflicts": groups in order, of which only those in sight are in the document.
"use strict";
const conflictsView = (() => {
  const HEIGHT = 46;
  const ORDERS = {
    neglect: "neglect: a high sum, one reward at the bottom",
    disagreement: "disagreement of the rewards",
    opposed: "answers that RVPO pushes the other way",
    step: "step",
  };

  function rewardNames(report) {
    const used = new Set(report.groups.names);
    return [...new Set([...used].flatMap((id) => report.names[id]))].sort();
  }

  // Numbers of the groups that the filters leave, in order.
  function ordered(app) {
    const { report, state } = app;
    const summaries = report.summarize();
    const kept = [];
    for (let g = 0; g < report.count; g++) {
      const validation = Boolean(report.groups.validation[g]);
      if (state.kind === "training" && validation) continue;
      if (state.kind === "validation" && !validation) continue;
      if (state.run !== "" && report.groups.run[g] !== Number(state.run)) continue;
      if (app.found && !app.found.has(g)) continue;
      kept.push(g);
    }
    const reward = state.order.startsWith("reward:") ? state.order.slice(7) : null;
    const by = reward !== null
      ? (g) => summaries[g].neglectBy[report.names[report.groups.names[g]].indexOf(reward)] ?? -1
      : { neglect: (g) => summaries[g].neglect, disagreement: (g) => summaries[g].disagreement,
        opposed: (g) => summaries[g].opposed, step: (g) => report.groups.step[g] }[state.order] ?? ((g) => -g);
    const values = new Map(kept.map((g) => [g, by(g)]));
    return kept.sort((a, b) => values.get(b) - values.get(a) || summaries[b].disagreement - summaries[a].disagreement || a - b);
  }

  // Answers across, rewards down.
  function miniature(summary) {
    const rows = summary.z.length, M = rows ? summary.z[0].length : 0;
    const width = Math.max(2, Math.min(7, Math.floor(110 / rows))), height = Math.max(2, Math.min(9, Math.floor(36 / M)));
    const gap = Math.min(width, height) > 3 ? 1 : 0, ratio = devicePixelRatio || 1;
    const canvas = h("canvas", { class: "mini", width: rows * width * ratio, height: M * height * ratio,
      role: "img", "aria-label": "Z of each answer (across) and reward (down)" });
    canvas.style.width = `${rows * width}px`;
    canvas.style.height = `${M * height}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const above = cssColor("above"), below = cssColor("below"), none = cssColor("line");
    summary.z.forEach((row, i) => row.forEach((z, j) => {
      context.globalAlpha = summary.present[i][j] ? Math.min(Math.abs(z) / 2, 1) : 0.5;
      context.fillStyle = summary.present[i][j] ? (z >= 0 ? above : below) : none;
      context.fillRect(i * width, j * height, width - gap, height - gap);
    }));
    return canvas;
  }

  const bar = (value, full, label) => h("span", { class: "bar", vars: { part: `${100 * Math.min(value / full, 1)}%` } },
    h("i"), h("b", {}, label));

  function row(app, g) {
    const { report } = app, summary = report.summaries[g], group = report.group(g);
    return h("a", { class: "row", href: app.link({ view: "group", group: g, answer: "" }), "data-group": g },
      h("span", {}, report.runs.length > 1 ? h("small", {}, report.runs[group.run].label) : null,
        `${group.validation ? "val " : ""}${group.step}`),
      snippetOf(app, group.prompt),
      h("span", {}, miniature(summary)),
      h("span", {}, bar(summary.disagreement, 1.5, number(summary.disagreement))),
      h("span", {}, bar(summary.neglect, 2, number(summary.neglect)),
        summary.neglected >= 0 ? h("small", { title: group.names[summary.neglected] }, group.shortNames[summary.neglected]) : null),
      h("span", { class: summary.opposed ? "" : "muted" }, `${summary.opposed} of ${group.size}`));
  }

  function render(app) {
    const { report, state } = app;
    if (!report.count) return [h("p", { class: "empty" }, NO_DUMPS)];
    const order = ordered(app);
    app.order = order;
    const names = rewardNames(report);
    const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);
    const search = h("input", { type: "search", id: "search", placeholder: "Search prompts and answers  ( / )",
      value: state.search, "aria-label": "Search prompts and answers", onchange: () => app.search(search.value) });
    const status = h("span", { class: "muted", id: "found" }, `${plural(order.length, "group")}${app.searching ? ", searching …" : ""}`);
    const controls = h("div", { class: "controls" }, search,
      h("label", {}, "sort by ", h("select", { id: "order", onchange: (event) => app.set({ order: event.target.value }) },
        Object.entries(ORDERS).map(([value, text]) => option(value, text, state.order)),
        names.length ? h("optgroup", { label: "neglect of one reward" },
          names.map((name) => option(`reward:${name}`, name, state.order))) : null)),
      h("label", {}, "from ", h("select", { id: "kind", onchange: (event) => app.set({ kind: event.target.value }) },
        option("", "training and validation", state.kind), option("training", "training", state.kind),
        option("validation", "validation", state.kind))),
      report.runs.length > 1 ? h("label", {}, "run ", h("select", { id: "of-run", onchange: (event) => app.set({ run: event.target.value }) },
        option("", "all", state.run), report.runs.map((run, r) => option(String(r), run.label, state.run)))) : null,
      status);
    const filler = h("div", { class: "filler" });
    filler.style.height = `${order.length * HEIGHT}px`;
    const list = h("div", { class: "list", id: "list", tabindex: 0 }, filler);
    const drawn = new Map();
    const draw = () => {
      const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - 6);
      const last = Math.min(order.length, first + Math.ceil(list.clientHeight / HEIGHT) + 12);
      for (const [i, element] of drawn) if (i < first || i >= last) { element.remove(); drawn.delete(i); }
      for (let i = first; i < last; i++) {
        if (drawn.has(i)) continue;
        const element = row(app, order[i]);
        element.style.top = `${i * HEIGHT}px`;
        if (String(order[i]) === state.group) element.classList.add("current");
        drawn.set(i, element);
        filler.append(element);
      }
    };
    list.addEventListener("scroll", () => { app.scrolled = list.scrollTop; requestAnimationFrame(draw); });
    requestAnimationFrame(() => { list.scrollTop = app.scrolled ?? 0; draw(); });
    new ResizeObserver(draw).observe(list);
    return [controls,
      h("div", { class: "row heading", role: "row" }, h("span", {}, "step"), h("span", {}, "prompt"),
        h("span", { title: "Z of each answer (across) and reward (down): blue above the group's mean, orange below" }, "answers × rewards"),
        h("span", { title: "Variance of Z over the rewards of an answer, averaged over the group" }, "disagreement"),
        h("span", { title: "The largest min(GRPO's advantage, −Z of a reward): an answer that the sum reinforces while one reward lies at the bottom" }, "neglect"),
        h("span", { title: "Answers whose advantage has the opposite sign under GDPO or GRPO" }, "sign differs")),
      list];
  }

  return { title: "Conflicts", render, ordered };
})();

const NO_DUMPS = "No answers: this run wrote no dumps. Set trainer.rollout_data_dir and trainer.validation_data_dir, "
  + "as the recipes do, and give the run's folder to rvpo-verl report.";

// What a chat prompt asks last.
function snippet(text) {
  const dialogue = text.lastIndexOf("<user>"); // RLLA's
  if (dialogue >= 0) return oneLine(text.slice(dialogue + 6).replace(/<\/user>[\s\S]*$/, ""), 220);
  const asked = text.replace(/\s*(?:<\|?(?:im_start|start_header_id)\|?>)?\s*(?:assistant|model)\s*(?:<\|end_header_id\|>)?\s*$/, "");
  const user = Math.max(asked.lastIndexOf("\nuser\n"), asked.startsWith("user\n") ? 0 : -1);
  const last = user >= 0 ? asked.slice(user).replace(/^\s*user\n/, "") : asked.slice(-400);
  return oneLine(last, 220);
}

function snippetOf(app, id) {
  const element = h("span", { class: "snippet" });
  app.report.texts.get(id).then((text) => { element.textContent = snippet(text); });
  return element;
}
