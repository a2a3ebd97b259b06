// State, which the address keeps, and what is in sight.
"use strict";
const VIEWS = { run: runView, conflicts: conflictsView, group: groupView, time: timelineView };
const START = { view: "run", group: "", answer: "", k: "", aggregation: "", constant: "", center: "", show: "", plain: "", order: "neglect",
  kind: "", run: "", search: "" };
const HELP = [["1 2 3 4", "run, conflicts, group, over time"], ["n p", "next and previous group"], ["j k", "next and previous answer"],
  ["/", "search"], ["t", "dark or light"], ["?", "this help"]];

const app = {
  state: { ...START },

  link(changes) {
    const state = { ...this.state, ...changes };
    const kept = Object.entries(state).filter(([name, value]) => String(value) !== START[name]);
    return `#${new URLSearchParams(kept)}`;
  },

  // Goes where the address would lead; `keep` leaves the scroll position.
  set(changes, { keep = false } = {}) {
    this.keep = keep || !("view" in changes || "group" in changes);
    const link = this.link(changes);
    if (location.hash === link) this.draw(); else location.hash = link;
  },

  read() {
    const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const before = this.state;
    this.state = { ...START };
    for (const name of Object.keys(START)) if (name in given) this.state[name] = given[name];
    if (!VIEWS[this.state.view]) this.state.view = "run";
    for (const name of ["order", "kind", "run", "search"]) if (before[name] !== this.state[name]) this.order = undefined;
    if (["order", "kind", "run"].some((name) => before[name] !== this.state[name])) this.scrolled = 0;
    if (before.search !== this.state.search) this.find();
  },

  search(words) { this.scrolled = 0; this.set({ search: words }); },

  // Collects the groups whose texts hold the words.
  async find() {
    const { search } = this.state, { report } = this;
    this.found = null;
    this.searching = false;
    if (!search.trim()) return;
    this.byText ??= (() => {
      const map = new Map();
      const add = (text, g) => { if (!map.has(text)) map.set(text, new Set()); map.get(text).add(g); };
      for (let g = 0; g < report.count; g++) {
        add(report.groups.prompt[g], g);
        const [first] = report.offsets[g];
        for (let i = 0; i < report.groups.size[g]; i++) add(report.answers.text[first + i], g);
      }
      return map;
    })();
    this.found = new Set();
    this.searching = true;
    const current = () => this.state.search === search;
    await report.texts.search(search, (text) => this.byText.get(text)?.forEach((g) => this.found.add(g)), current);
    if (!current()) return;
    this.searching = false;
    this.order = undefined;
    this.keep = true;
    this.draw();
  },

  sortAnswers(key) { this.answerKey = key; this.keep = true; this.draw(); },

  draw() {
    charts.clear();
    const main = document.getElementById("main"), scroll = scrollY, focused = document.activeElement?.id;
    const sideways = document.getElementById("table")?.scrollLeft ?? 0;
    main.className = `view-${this.state.view}`;
    main.replaceChildren(...VIEWS[this.state.view].render(this).flat(9).filter(Boolean));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    const table = document.getElementById("table");
    if (table) table.scrollLeft = sideways;
    scrollTo(0, this.keep ? scroll : 0);
    document.querySelectorAll("#head a.tab").forEach((tab) => {
      tab.setAttribute("aria-current", tab.dataset.view === this.state.view ? "page" : "false");
      tab.href = this.link({ view: tab.dataset.view });
    });
    document.documentElement.dataset.drawn = this.state.view;
  },

  head() {
    const tabs = Object.entries(VIEWS).map(([name, view], i) => h("a", { class: "tab", "data-view": name, href: this.link({ view: name }),
      title: `key ${i + 1}` }, view.title));
    const live = document.documentElement.dataset.reload;
    const help = h("dialog", { id: "help" }, h("h3", {}, "Keys"), h("dl", {}, HELP.map(([keys, what]) => [h("dt", {}, keys), h("dd", {}, what)])),
      h("p", { class: "muted small" }, "RVPO, GDPO and GRPO are computed in this page from the rewards in the dumps, before whitening over the batch. "
        + "Blue is above the group's mean, orange below."),
      h("button", { onclick: () => help.close() }, "close"));
    document.body.append(help);
    document.getElementById("head").replaceChildren(h("span", { class: "brand" }, "rvpo report"),
      h("span", { class: "labels" }, this.report.runs.map((run) => run.label).join(", ")), h("nav", { class: "tabs" }, tabs),
      h("span", { class: "end" }, live ? h("label", { title: `reads the run again every ${live} s` },
        h("input", { type: "checkbox", id: "live", checked: sessionStorage.live !== "no", onchange: (event) => { sessionStorage.live = event.target.checked ? "yes" : "no"; } }), " live") : null,
      h("button", { id: "theme", title: "key t", onclick: () => this.theme() }, "◐"),
      h("button", { title: "key ?", onclick: () => help.showModal() }, "?")));
    if (live) setInterval(() => { if (sessionStorage.live !== "no" && !document.hidden) location.reload(); }, 1000 * live);
  },

  theme() {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.rvpoTheme = document.documentElement.dataset.theme; } catch { /* not for a file in some browsers */ }
    this.keep = true;
    this.draw();
  },

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea") && event.key !== "Escape") return;
    const order = this.order ?? [], place = order.indexOf(Number(this.state.group === "" ? order[0] : this.state.group));
    const move = (offset) => {
      const next = this.state.view === "group" ? order[place + offset] : undefined;
      if (next !== undefined) this.set({ group: String(next), answer: "" });
    };
    const answer = (offset) => {
      if (this.state.view !== "group") return;
      const at = this.answerOrder.indexOf(this.answer);
      const next = this.answerOrder[at + offset];
      if (next !== undefined) this.set({ answer: String(next) }, { keep: true });
    };
    const actions = { n: () => move(1), p: () => move(-1), j: () => answer(1), k: () => answer(-1), t: () => this.theme(),
      "?": () => document.getElementById("help").showModal(), "/": () => document.getElementById("search")?.focus(),
      Escape: () => event.target.blur?.() };
    Object.keys(VIEWS).forEach((view, i) => { actions[String(i + 1)] = () => this.set({ view }); });
    if (actions[event.key]) {
      actions[event.key]();
      event.preventDefault();
    }
  },

  async start() {
    try { if (localStorage.rvpoTheme) document.documentElement.dataset.theme = localStorage.rvpoTheme; } catch { /* likewise */ }
    this.report = new Report(await unpack("index"));
    this.head();
    addEventListener("hashchange", () => { this.read(); this.draw(); });
    addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.read();
    this.draw();
    document.documentElement.dataset.openedIn = String(Math.round(performance.now()));
  },
};
app.start();
