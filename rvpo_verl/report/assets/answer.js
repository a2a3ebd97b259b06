// The text of an answer: as it is, with tool calls and reasoning laid out where the tags are there.
"use strict";
const answerView = (() => {
  const SHOWN = 20000; // characters laid out at once; the rest on request, as plain text
  const TAGS = /<(think|reasoning|tool_call|response|answer)>([\s\S]*?)<\/\1>/g;

  // A tool call, {"name": ..., "parameters" or "arguments": {...}}, or null.
  function asCall(line) {
    let value;
    try { value = JSON.parse(line); } catch { return null; }
    if (!value || typeof value !== "object" || typeof value.name !== "string") return null;
    const given = value.parameters ?? value.arguments ?? {};
    const parameters = given && typeof given === "object" ? Object.entries(given) : [["", given]];
    return h("div", { class: "call" }, h("code", {}, visible(value.name)), h("dl", {}, parameters.slice(0, 50).map(
      ([name, one]) => [h("dt", {}, visible(name)), h("dd", {}, visible(typeof one === "string" ? one : JSON.stringify(one)))])));
  }

  function calls(body) {
    const whole = asCall(body);
    if (whole) return [whole];
    return body.split("\n").filter((line) => line.trim()).map((line) =>
      asCall(line) ?? h("div", { class: "call bad" }, h("small", {}, "not a tool call"), h("pre", {}, visible(line))));
  }

  function parts(text) {
    const found = [];
    let end = 0;
    const plain = (piece) => piece.trim() && found.push(h("pre", {}, visible(piece.trim())));
    for (const match of text.matchAll(TAGS)) {
      plain(text.slice(end, match.index));
      const [all, tag, body] = match;
      found.push(h("div", { class: `block ${tag}` }, h("small", {}, tag.replace("_", " ")),
        tag === "tool_call" ? calls(body) : h("pre", {}, visible(body.trim()))));
      end = match.index + all.length;
    }
    plain(text.slice(end));
    return found.length ? found : [h("p", { class: "muted" }, "an empty text")];
  }

  // Fills `element` with a text, once it is there.
  function show(app, id, element, laidOut = true) {
    if (id === null || id === undefined) return element;
    app.report.texts.get(id).then((text) => {
      const begin = text.slice(0, SHOWN);
      element.replaceChildren(...(laidOut ? parts(begin) : [h("pre", {}, visible(begin))]));
      if (text.length <= SHOWN) return;
      const all = h("button", { onclick: () => element.replaceChildren(h("pre", {}, visible(text))) },
        `Show all ${count(text.length)} characters`);
      element.append(h("p", {}, `… ${count(text.length - SHOWN)} more characters. `, all));
    });
    return element;
  }

  return { show };
})();
