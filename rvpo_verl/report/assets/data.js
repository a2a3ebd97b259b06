// What the page carries: gzipped JSON as base64, in script elements that are never run. The texts are in parts, which
// are unpacked when they are first shown or searched.
"use strict";
async function unpack(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

class Texts {
  constructor(firsts) {
    this.firsts = firsts; // id of the first text of each part
    this.parts = [];
  }

  part(id) {
    let low = 0, high = this.firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.firsts[middle] <= id) low = middle; else high = middle - 1;
    }
    return low;
  }

  async load(part) {
    this.parts[part] ??= unpack(`texts-${part}`);
    return this.parts[part];
  }

  async get(id) {
    const part = this.part(id);
    return (await this.load(part))[id - this.firsts[part]];
  }

  // Calls `found` with every id whose text holds `words`, part after part.
  async search(words, found, isCurrent) {
    const wanted = words.toLowerCase();
    for (let part = 0; part < this.firsts.length && isCurrent(); part++) {
      const texts = await this.load(part);
      texts.forEach((text, i) => text.toLowerCase().includes(wanted) && found(this.firsts[part] + i));
    }
  }
}

class Report {
  constructor(index) {
    Object.assign(this, index);
    this.names = index.names.map((names) => names.map(visible));
    this.texts = new Texts(index.text_parts);
    let answer = 0, cell = 0;
    this.count = this.groups.size.length;
    this.offsets = this.groups.size.map((size, g) => {
      const offset = [answer, cell];
      answer += size;
      cell += size * this.names[this.groups.names[g]].length;
      return offset;
    });
    this.answerCount = answer;
  }

  // The numbers of group g, as `formula.compute` takes them, and where its texts are.
  group(g) {
    const size = this.groups.size[g], names = this.names[this.groups.names[g]], M = names.length;
    const [answer, cell] = this.offsets[g];
    const rows = (values) => Array.from({ length: size }, (_, i) => values.slice(cell + i * M, cell + (i + 1) * M));
    const settings = this.settings[this.groups.settings[g]] ?? {};
    return {
      g, names, shortNames: shortNames(names), size, settings,
      run: this.groups.run[g], step: this.groups.step[g], validation: Boolean(this.groups.validation[g]),
      prompt: this.groups.prompt[g], truth: this.groups.truth[g], firstAnswer: answer,
      rewards: rows(this.answers.rewards), weights: rows(this.answers.weights),
      scores: this.answers.score.slice(answer, answer + size),
      trained: this.answers.trained.slice(answer, answer + size),
      texts: this.answers.text.slice(answer, answer + size),
    };
  }

  // As it was trained; k of JSON may be "inf".
  trainedSettings(g) {
    const settings = this.settings[this.groups.settings[g]] ?? {};
    const known = formula.AGGREGATIONS.includes(settings.aggregation ?? "softmin");
    const values = { ...formula.DEFAULTS };
    for (const name of Object.keys(values)) if (settings[name] !== undefined) values[name] = settings[name];
    if (!known) values.aggregation = "softmin";
    values.k = Number(String(values.k).replace("inf", "Infinity"));
    return values;
  }

  // How the rewards of each group disagree, once for all.
  summarize() {
    this.summaries ??= Array.from({ length: this.count }, (_, g) => {
      const group = this.group(g), result = formula.compute(group, this.trainedSettings(g));
      const names = group.names.map((_, j) => Math.max(...result.neglect.map((row) => row[j])));
      const most = names.length ? Math.max(...names) : 0;
      const opposed = result.advantage.filter((value, i) =>
        formula.opposes(value, result.gdpo[i]) || formula.opposes(value, result.grpo[i])).length;
      return {
        disagreement: result.variance.reduce((a, b) => a + b, 0) / Math.max(group.size, 1),
        neglect: most, neglected: most > 0 ? names.indexOf(most) : -1, neglectBy: names, opposed, z: result.z,
        present: result.present,
      };
    });
    return this.summaries;
  }
}
