// A line chart over steps: uPlot with a legend that shows the values under the cursor.
"use strict";
const charts = (() => {
  let open = [];

  function clear() {
    open.forEach((chart) => chart.destroy());
    open = [];
  }

  const asX = (value) => number(value, Number.isInteger(value) ? 0 : 2);

  // series: {label, values, color, dash?, points?, low?, high?}; spans: {from, to} in x, shaded.
  function lines({ title, note, x, series, spans = [], zero = false, height = 150, xLabel = "step", xValues, mark, log }) {
    const plot = h("div", { class: "plot" });
    const legend = h("div", { class: "legend" });
    const at = h("span", { class: "at" });
    const values = series.map((one) => {
      const swatch = h("i", { class: one.points ? "swatch dotted" : "swatch", vars: { color: one.color } });
      const value = h("b");
      legend.append(h("span", {}, swatch, one.label, value));
      return value;
    });
    const box = h("section", { class: "chart" },
      h("h3", {}, title, note ? h("small", {}, note) : null, at), legend, plot);
    const data = [x], options = [{}], bands = [];
    series.forEach((one) => {
      if (one.low) {
        data.push(one.high, one.low);
        const side = { show: true, stroke: "transparent", width: 0, points: { show: false } };
        options.push(side, side);
        bands.push({ series: [options.length - 2, options.length - 1], fill: `${one.color}26` });
      }
      data.push(one.values);
      options.push({
        stroke: one.color, width: one.points ? 1.2 : 1.8, dash: one.points ? [5, 4] : one.dash,
        points: { show: one.points || x.length < 3, size: 5, fill: one.color }, spanGaps: true,
      });
      one.index = options.length - 1;
    });
    const grid = { stroke: cssColor("line"), width: 1 };
    const axis = { stroke: cssColor("muted"), grid, ticks: { show: false }, font: "11px system-ui", size: 24 };
    const show = (index) => {
      at.textContent = index === null ? "" : `${xLabel} ${(xValues ?? x.map(asX))[index]}`;
      series.forEach((one, i) => {
        const value = index === null ? [...one.values].reverse().find((v) => v !== null && v !== undefined)
          : one.values[index];
        values[i].textContent = number(value, 3);
      });
    };
    const shade = (chart) => {
      const { ctx, bbox } = chart;
      ctx.save();
      ctx.fillStyle = cssColor("warn-fill");
      for (const span of spans) {
        const left = chart.valToPos(span.from - 0.5, "x", true), right = chart.valToPos(span.to + 0.5, "x", true);
        const from = Math.max(left, bbox.left);
        ctx.fillRect(from, bbox.top, Math.min(right, bbox.left + bbox.width) - from, bbox.height);
      }
      ctx.restore();
    };
    const line = (chart) => {
      if (!mark) return;
      const { ctx, bbox } = chart, left = chart.valToPos(mark(), "x", true);
      ctx.save();
      ctx.strokeStyle = cssColor("text");
      ctx.setLineDash([4, 4]);
      ctx.beginPath();
      ctx.moveTo(left, bbox.top);
      ctx.lineTo(left, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    };
    requestAnimationFrame(() => {
      if (!plot.isConnected) return;
      const chart = new uPlot({
        width: plot.clientWidth, height, padding: [8, 12, 0, 0], bands, series: options, legend: { show: false },
        cursor: { sync: xLabel === "step" ? { key: "step" } : undefined, drag: { x: false, y: false }, y: false,
          points: { size: 6 } },
        scales: { x: { time: false, range: x.length === 1 ? [x[0] - 1, x[0] + 1] : undefined },
          y: zero ? { range: (_, low, high) => [Math.min(low, 0), high > low ? high + 0.05 * (high - low) : low + 1] }
            : {} },
        axes: [{ ...axis, grid: { show: false }, values: xValues ? (_, ticks) => ticks.map((tick) => xValues[tick] ?? "")
          : (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) },
        { ...axis, size: 42, splits: undefined }],
        hooks: { drawClear: [shade], draw: [line], setCursor: [(chart) => show(chart.cursor.idx ?? null)] },
      }, data, plot);
      open.push(chart);
      box.redraw = () => chart.redraw();
      new ResizeObserver(() => chart.setSize({ width: plot.clientWidth, height })).observe(plot);
    });
    show(null);
    return box;
  }

  return { lines, clear };
})();
