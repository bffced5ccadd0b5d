// Draws the dashboards from recorded answers, near enough to Grafana to judge layout, units, legends and emptiness.
// Every panel ends with data-state "drawn" or "empty"; the body then gets data-done.
const { boards, answers } = DATA;
const PALETTE = ["#73bf69", "#fade2a", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ff7383", "#c8f2c2", "#ffee52"];
const COLORS = { green: "#73bf69", red: "#f2495c", orange: "#ff9830", blue: "#5794f2", purple: "#b877d9", yellow: "#fade2a",
  text: "#ccccdc" };
const TIMES = Array.from({ length: Math.floor((answers.to_s - answers.from_s) / answers.step_s) + 1 },
  (_, index) => answers.from_s + index * answers.step_s);

const element = (tag, parent, name = "", text = "") => {
  const made = parent.appendChild(document.createElement(tag));
  made.className = name;
  made.textContent = text;
  return made;
};

// --- Numbers --------------------------------------------------------------------------------------------------------

const digits = (value) => (value === 0 ? "0" : String(Number(value.toPrecision(3))));
const scaled = (value, steps, base) => {
  let index = 0;
  while (Math.abs(value) >= base && index < steps.length - 1) { value /= base; index += 1; }
  return `${digits(value)}${steps[index]}`;
};
const seconds = (value) => {
  if (value === 0) return "0 s";
  const size = Math.abs(value);
  if (size < 1e-3) return `${digits(value * 1e6)} µs`;
  return size < 1 ? `${digits(value * 1e3)} ms` : `${digits(value)} s`;
};
const ago = (milliseconds) => {
  const passed_s = answers.to_s - milliseconds / 1000;
  return passed_s < 90 ? `${Math.round(passed_s)} seconds ago` : `${Math.round(passed_s / 60)} minutes ago`;
};
const UNITS = {
  none: digits,
  locale: (value) => value.toLocaleString("en"),
  short: (value) => scaled(value, ["", " K", " Mil"], 1000),
  s: seconds,
  "µs": (value) => seconds(value / 1e6),
  percentunit: (value) => `${digits(value * 100)}%`,
  reqps: (value) => `${digits(value)} req/s`,
  ops: (value) => `${digits(value)} ops/s`,
  Bps: (value) => scaled(value, [" B/s", " kB/s", " MB/s"], 1000),
  bytes: (value) => scaled(value, [" B", " KiB", " MiB", " GiB"], 1024),
  dateTimeFromNow: ago,
  dateTimeAsIso: (value) => new Date(value).toISOString().slice(0, 19).replace("T", " "),
};
const worded = (unit, value) => {
  if (!(unit in UNITS)) throw new Error(`unit ${unit} is not known here`);
  return UNITS[unit](value);
};

// --- What a panel asks and how it looks -----------------------------------------------------------------------------

const named = (format, metric) => {
  if (format) return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? "").trim();
  return Object.entries(metric).map(([label, value]) => `${label}="${value}"`).join(", ") || "Value";
};
const seriesOf = (panel) => (panel.targets ?? []).flatMap((target) => {
  const found = answers[target.instant ? "instant" : "range"][target.expr];
  if (found === undefined) throw new Error(`no answer is recorded for ${target.expr}`);
  return found.map((one) => ({ ...one, target: target.refId, name: named(target.legendFormat, one.metric) }));
});
const looksOf = (panel, series) => {
  const looks = {};
  for (const { matcher, properties } of panel.fieldConfig.overrides ?? []) {
    const fits = matcher.id === "byFrameRefID" ? matcher.options === series.target : matcher.options === series.name;
    if (fits) for (const { id, value } of properties) looks[id] = value;
  }
  return looks;
};
const colorOf = (look, index) => {
  const fixed = look.color?.fixedColor;
  return fixed ? COLORS[fixed] ?? fixed : PALETTE[index % PALETTE.length];
};
const thresholdColor = (panel, value) => {
  const steps = panel.fieldConfig.defaults.thresholds?.steps ?? [];
  const reached = steps.filter((step) => step.value === null || step.value === undefined || value >= step.value);
  return COLORS[reached.at(-1)?.color] ?? COLORS.green;
};

// --- Marks on the time axis -----------------------------------------------------------------------------------------

const marksOf = (board) => board.annotations.list.flatMap((annotation) => {
  const moments = (answers.range[annotation.expr] ?? []).flatMap((one) => one.values);
  const distinct = [...new Set(moments.filter((value) => value !== null).map((value) => Math.round(value / 1000)))];
  return distinct.map((at) => ({ at, color: COLORS[annotation.iconColor], name: annotation.name }));
});
const drawMarks = (plot, marks) => {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.setLineDash([4, 4]);
  ctx.lineWidth = 1.5;
  for (const { at, color } of marks.filter((mark) => mark.at >= answers.from_s && mark.at <= answers.to_s)) {
    const x = plot.valToPos(at, "x", true);
    ctx.strokeStyle = color;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
};

// --- Panels ---------------------------------------------------------------------------------------------------------

const AXIS = { stroke: "#8e8e99", grid: { stroke: "#25282d", width: 1 }, ticks: { show: false }, font: "11px system-ui" };
const clock = (_, splits) => splits.map((at) => new Date(at * 1000).toISOString().slice(...(at % 60 ? [16, 19] : [11, 16])));
const TIME_AXIS = { ...AXIS, size: 26, space: 44, incrs: [30, 60, 120, 300, 600, 1800, 3600], values: clock };
const plotInto = (body, options, data, legendHeight, beside = 0) => {
  const size = { width: body.clientWidth - 16 - beside, height: body.clientHeight - legendHeight };
  return new uPlot({ ...size, padding: [10, 24, 0, 0], legend: { show: false }, cursor: { show: false }, ...options }, data, body);
};
const stack = (rows) => {
  const sums = new Array(TIMES.length).fill(0);
  return rows.map((row) => row.map((value, index) => (sums[index] += value ?? 0)));
};

const drawCurves = (panel, body, marks) => {
  const found = seriesOf(panel);
  if (!found.some((one) => one.values.some((value) => value !== null))) return false;
  const { unit, custom } = panel.fieldConfig.defaults;
  const stacked = custom?.stacking?.mode === "normal";
  const beside = panel.options.legend.displayMode === "table" ? panel.options.legend.width : 0;
  const log = custom?.scaleDistribution?.type === "log";
  const lines = custom?.thresholdsStyle ? panel.fieldConfig.defaults.thresholds.steps.filter((step) => step.value) : [];
  const rows = found.map((one) => (log ? one.values.map((value) => (value > 0 ? value : null)) : one.values));
  const drawn = stacked ? stack(rows) : rows;
  const looks = found.map((one) => looksOf(panel, one));
  const colors = looks.map(colorOf);
  const series = found.map((one, index) => ({
    label: one.name, stroke: colors[index], width: 1.5, points: { show: false },
    scale: looks[index]["custom.axisPlacement"] === "right" ? "right" : "y",
    dash: looks[index]["custom.lineStyle"]?.dash, fill: stacked ? `${colors[index]}55` : undefined,
  }));
  const order = stacked ? series.map((_, index) => index).reverse() : series.map((_, index) => index);
  const highest = Math.max(...lines.map((step) => step.value), 0);
  const drawLines = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([8, 8]);
    ctx.strokeStyle = COLORS.red;
    for (const { value } of lines) {
      const y = plot.valToPos(value, "y", true);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  };
  const right = looks.find((look) => look["custom.axisPlacement"] === "right");
  const axes = right ? [{ ...AXIS, scale: "right", side: 1, size: 74, grid: { show: false },
    values: (_, splits) => splits.map((value) => worded(right.unit, value)) }] : [];
  plotInto(body, {
    scales: { right: { range: (_, low, high) => [0, (high || 1) * 1.08] }, y: log ? { distr: 3 } : { range: (_, low, high) =>
      [0, Math.max(high ?? 0, highest, custom.axisSoftMax) * 1.08] } },
    axes: [TIME_AXIS, { ...AXIS, size: 74, values: (_, splits) => splits.map((value) =>
      (value === null || (log && !/^[1-9]0*$/.test(value.toExponential().split("e")[0].replace(".", ""))) ? "" : worded(unit, value))) }, ...axes],
    series: [{}, ...order.map((index) => series[index])],
    hooks: { draw: [(plot) => { drawLines(plot); drawMarks(plot, marks); }] },
  }, [TIMES, ...order.map((index) => drawn[index])], beside ? 4 : 36, beside);
  const legend = element("div", body, beside ? "legend beside" : "legend");
  series.forEach((one) => element("span", legend, "", one.label).style.setProperty("--color", one.stroke));
  return true;
};

const shade = (share) => `rgb(87 148 242 / ${0.15 + 0.85 * share})`; // one hue, as Grafana's mode "opacity"
const drawHeatmap = (panel, body, marks) => {
  const sorted = seriesOf(panel).toSorted((a, b) => Number(a.metric.le.replace("+Inf", "Infinity")) -
    Number(b.metric.le.replace("+Inf", "Infinity")));
  const counts = sorted.map((one, row) => one.values.map((value, index) =>
    Math.max(0, (value ?? 0) - (row ? sorted[row - 1].values[index] ?? 0 : 0))));
  const used = counts.map((row, index) => (row.some((value) => value > 0) ? index : -1)).filter((index) => index >= 0);
  if (!used.length) return false;
  const first = Math.max(0, used[0] - 1);
  const shown = counts.slice(first, used.at(-1) + 2);
  const most = Math.max(...shown.flat());
  plotInto(body, {
    scales: { y: { range: () => [0, shown.length] } },
    axes: [TIME_AXIS, { ...AXIS, size: 74, splits: () => shown.map((_, row) => row).filter((row) => row % 3 === 0),
      values: (_, splits) => splits.map((row) => (row && sorted[first + row - 1] ? seconds(Number(sorted[first + row - 1].metric.le)) : "")) }],
    series: [{}, { stroke: "transparent", points: { show: false } }],
    hooks: { draw: [(plot) => {
      const { ctx } = plot;
      shown.forEach((row, level) => row.forEach((value, index) => {
        if (!value) return;
        const left = plot.valToPos(TIMES[index] - answers.step_s, "x", true);
        const top = plot.valToPos(level + 1, "y", true);
        ctx.fillStyle = shade(Math.sqrt(value / most));
        ctx.fillRect(Math.max(left, plot.bbox.left), top, plot.valToPos(TIMES[index], "x", true) - left - 1,
          plot.valToPos(level, "y", true) - top - 1);
      }));
      drawMarks(plot, marks);
    }] },
  }, [TIMES, TIMES.map(() => 0)], 4);
  return true;
};

const drawFigures = (panel, body) => {
  const found = seriesOf(panel).filter((one) => one.value !== null);
  const { unit, noValue } = panel.fieldConfig.defaults;
  const figures = element("div", body, `figures ${panel.options.orientation}`);
  const figure = (text, color, caption) => {
    const made = element("div", figures, "figure");
    element("strong", made, "", text).style.color = color;
    if (caption) element("small", made, "", caption);
  };
  if (!found.length) {
    figure(noValue ?? "No data", COLORS.text);
    return noValue !== undefined;
  }
  for (const one of found) {
    const fixed = looksOf(panel, one).color?.fixedColor;
    const color = fixed ? COLORS[fixed] : thresholdColor(panel, one.value);
    if (panel.options.textMode === "name") figure(one.name, color);
    else figure(worded(unit, one.value), color, found.length > 1 ? one.name : "");
  }
  return true;
};

const drawTable = (panel, body) => {
  const { renameByName: names, indexByName: order } = panel.transformations.find((one) => one.id === "organize").options;
  const rows = new Map();
  panel.targets.forEach((target) => {
    for (const one of answers.instant[target.expr]) {
      const key = JSON.stringify(one.metric);
      const row = rows.get(key) ?? { ...one.metric };
      row[panel.targets.length > 1 ? `Value #${target.refId}` : "Value"] = one.value;
      rows.set(key, row);
    }
  });
  if (!rows.size) return false;
  const columns = Object.entries(names).toSorted(([a], [b]) => order[a] - order[b])
    .filter(([, title]) => !looksOf(panel, { name: title })["custom.hidden"]);
  const sortBy = columns.find(([, title]) => title === panel.options.sortBy[0].displayName)[0];
  const table = element("table", body);
  const head = element("tr", table);
  columns.forEach(([, title]) => element("th", head, "", title));
  for (const row of [...rows.values()].toSorted((a, b) => (b[sortBy] ?? -1) - (a[sortBy] ?? -1))) {
    const line = element("tr", table);
    for (const [field, title] of columns) {
      const unit = looksOf(panel, { name: title }).unit;
      element("td", line, "", unit ? (row[field] === undefined || row[field] === null ? "" : worded(unit, row[field])) : row[field] ?? "");
    }
  }
  return true;
};

const drawText = (panel, body) => {
  body.classList.add("text");
  for (const paragraph of panel.options.content.split("\n\n")) {
    const made = element("p", body);
    for (const part of paragraph.replaceAll("\n", " ").split(/(\*\*.*?\*\*|`.*?`|\[.*?\]\(.*?\))/)) {
      const link = /^\[(.*)\]\((.*)\)$/.exec(part);
      if (link) element("a", made, "", link[1]).href = link[2];
      else if (part.startsWith("**")) element("b", made, "", part.slice(2, -2));
      else if (part.startsWith("`")) element("code", made, "", part.slice(1, -1));
      else made.append(part);
    }
  }
  return true;
};

const DRAW = { timeseries: drawCurves, heatmap: drawHeatmap, stat: drawFigures, table: drawTable, text: drawText };

// --- The page -------------------------------------------------------------------------------------------------------

const header = element("header", document.body);
element("b", header, "", "Preview");
header.append(", drawn by a page of this repository from the recorded answers of a Prometheus: it shows layout, units and " +
  "content, not Grafana's own looks. Times are UTC.");
for (const board of boards) {
  const section = element("section", document.body);
  section.id = board.uid;
  element("small", element("h1", section, "", board.title), "", " preview");
  const marks = marksOf(board);
  const bar = element("div", section, "variables");
  board.templating.list.filter((one) => !one.hide).forEach((one) => element("span", bar, "", `${one.label}: ${one.current?.text ?? "the last"}`));
  for (const { name, iconColor } of board.annotations.list) {
    element("i", bar, "", name).style.setProperty("--color", COLORS[iconColor]);
  }
  const grid = element("div", section, "grid");
  for (const panel of board.panels) {
    const { x, y, w, h } = panel.gridPos;
    const place = `grid-column: ${x + 1} / span ${w}; grid-row: ${y + 1} / span ${h}`;
    if (panel.type === "row") {
      element("div", grid, "row", panel.title).style = `grid-row: ${y + 1}`;
      continue;
    }
    const box = element("div", grid, "panel");
    box.style = place;
    box.title = panel.description;
    element("h2", box, "", panel.title);
    const body = element("div", box);
    const drawn = DRAW[panel.type](panel, body, marks);
    box.dataset.state = drawn ? "drawn" : "empty";
    if (!drawn) body.classList.add("empty");
  }
}
document.body.dataset.done = "yes";
