"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const palette = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
  const paletteOf = (index) => palette[index % palette.length];

  const clock = (seconds) => {
    const whole = Math.round(seconds);
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (n) => String(n).padStart(2, "0");
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const three = (value) => {
    if (value == null) return "–";
    if (value === 0) return "0";
    return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  };
  const milliseconds = (value) => (value == null ? "–" : `${three(value)} ms`);
  const percentile = (inverse) => `${Number((100 * (1 - 1 / inverse)).toPrecision(7))}%`;

  const charts = [];

  function axis(extra) {
    return {
      stroke: colour("soft"),
      grid: { stroke: colour("grid"), width: 1 },
      ticks: { stroke: colour("grid"), width: 1, size: 4 },
      font: "12px system-ui, sans-serif",
      ...extra,
    };
  }

  function markEvents(plot) {
    const { ctx } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${10 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "center";
    data.events.forEach((event, index) => {
      const x = plot.valToPos(event.second, "x", true);
      if (x < plot.bbox.left - 1 || x > plot.bbox.left + plot.bbox.width + 1) return;
      const shade = colour(event.kind === "worker" || event.kind === "redis" ? "bad" : "seven");
      ctx.strokeStyle = shade;
      ctx.lineWidth = ratio;
      ctx.setLineDash([4 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x, plot.bbox.top);
      ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
      ctx.stroke();
      ctx.fillStyle = shade;
      ctx.fillText(String(index + 1), x, plot.bbox.top - 3 * ratio);
    });
    ctx.restore();
  }

  function overTime(place, label, lines, show, more) {
    const holder = document.getElementById(place);
    if (!holder) return;
    const make = () => {
      const plot = new uPlot(
        {
          width: holder.clientWidth,
          height: 170,
          padding: [16, 20, 0, 0],
          cursor: { sync: { key: "time" }, focus: { prox: 30 }, drag: { x: true, y: false } },
          scales: { x: { time: false }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
          axes: [
            axis({ size: 30, values: (u, ticks) => ticks.map(clock), incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600] }),
            axis({ size: 58, values: (u, ticks) => ticks.map(three) }),
          ],
          series: [
            { label: "time", value: (u, value) => (value == null ? "–" : clock(value)) },
            ...lines.map((line) => ({
              label: line.label,
              stroke: colour(line.colour),
              width: 1.75,
              dash: line.dash,
              fill: line.fill ? `${colour(line.colour)}22` : undefined,
              paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
              points: { show: data.time.length < 3 },
              value: (u, value) => show(value),
            })),
          ],
          hooks: { draw: [markEvents] },
        },
        [data.time, ...lines.map((line) => line.values)],
        holder,
      );
      return plot;
    };
    register(holder, make, label, more);
  }

  // Both distributions share one scale, so that response and service time can be compared by eye.
  const drawn = data.names.flatMap((one) => [...one.response, ...one.service]).filter((value) => value > 0);
  const reach = [drawn.reduce((a, b) => Math.min(a, b), Infinity) * 0.9, drawn.reduce((a, b) => Math.max(a, b), 0) * 1.15];

  const decades = [...Array(10).keys()].flatMap((decade) => [1, 2, 5].map((one) => Number(`${one}e${decade - 4}`)));
  const roundSteps = decades.filter((one) => one >= reach[0] && one <= reach[1]);

  function distribution(place, kind) {
    const holder = document.getElementById(place);
    if (!holder || !data.names.length) return;
    const most = Math.max(...data.names.map((one) => one[kind].length));
    const make = () =>
      new uPlot(
        {
          width: holder.clientWidth,
          height: 320,
          padding: [12, 26, 0, 0],
          legend: { show: false },
          cursor: { sync: { key: "distribution", setSeries: true }, focus: { prox: 20 }, drag: { setScale: false, x: false } },
          focus: { alpha: 0.35 },
          scales: { x: { distr: 3, time: false }, y: { distr: 3, range: () => reach } },
          axes: [
            axis({ size: 30, space: 20, filter: (u, splits) => splits, values: (u, ticks) => ticks.map((tick) => (tick == null ? "" : percentile(tick))), splits: (u) => [1, 2, 10, 100, 1000, 10000, 100000, 1000000].filter((one) => one <= u.scales.x.max * 1.001) }),
            axis({ size: 62, space: 16, splits: () => roundSteps, filter: (u, splits) => splits, values: (u, ticks) => ticks.map(three) }),
          ],
          series: [
            {},
            ...data.names.map((one, index) => ({
              label: String(index),
              show: one.shown,
              stroke: colour(one.colour),
              width: index === 0 ? 2.6 : 1.6,
              points: { show: false },
            })),
          ],
          hooks: { setCursor: [(plot) => tell(plot, kind)] },
        },
        [data.inverses.slice(0, most), ...data.names.map((one) => one[kind].concat(Array(most - one[kind].length).fill(null)))],
        holder,
      );
    const tell = (plot, which) => {
      const line = document.getElementById(`${place}-readout`);
      const at = plot.cursor.idx;
      if (at == null) { line.textContent = ""; return; }
      const shown = data.names.filter((one) => one.shown && one[which][at] != null).slice(0, 6);
      line.textContent = `${percentile(data.inverses[at])}: ${shown.map((one) => `${one.name} ${milliseconds(one[which][at])}`).join(", ")}`;
    };
    register(holder, make);
  }

  function register(holder, make) {
    const chart = { holder, make, plot: null };
    charts.push(chart);
    holder.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (!step) return;
      event.preventDefault();
      const { plot } = chart;
      const last = plot.data[0].length - 1;
      const from = plot.cursor.idx ?? (step > 0 ? -1 : last + 1);
      const to = Math.max(0, Math.min(last, from + step));
      plot.setCursor({ left: plot.valToPos(plot.data[0][to], "x"), top: plot.over.clientHeight / 2 });
    });
  }

  function draw() {
    for (const chart of charts) {
      chart.plot?.destroy();
      chart.plot = chart.make();
    }
    root.dataset.drawn = String(charts.length);
  }

  function toggles() {
    const place = document.getElementById("names-shown");
    if (!place) return;
    data.names.forEach((one, index) => {
      const button = document.createElement("button");
      const mark = document.createElement("i");
      button.type = "button";
      mark.style.background = `var(--${one.colour})`;
      button.append(mark, one.name);
      button.setAttribute("aria-pressed", String(one.shown));
      button.addEventListener("click", () => {
        one.shown = !one.shown;
        button.setAttribute("aria-pressed", String(one.shown));
        for (const chart of charts) {
          if (chart.holder.dataset.kind === "distribution") chart.plot.setSeries(index + 1, { show: one.shown });
        }
      });
      place.append(button);
    });
  }

  function sortable(table) {
    table.querySelectorAll("thead button").forEach((button) => {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const column = [...head.parentNode.children].indexOf(head);
        const down = head.getAttribute("aria-sort") !== "descending";
        table.querySelectorAll("thead th").forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.children[column];
          return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
        };
        const body = table.tBodies[0];
        [...body.rows]
          .sort((a, b) => (down ? -1 : 1) * (typeof key(a) === "number" ? key(a) - key(b) : key(a).localeCompare(key(b))))
          .forEach((row) => body.append(row));
      });
    });
  }

  data.names.forEach((one, index) => {
    one.colour = paletteOf(index);
    one.shown = index < 6;
  });
  const load = [{ label: data.load.label, colour: "three", values: data.users, stepped: true, fill: true }];
  if (data.load.planned) load.push({ label: data.load.planned_label, colour: "seven", values: data.load.planned, dash: [6, 4] });
  overTime("chart-throughput", "Throughput", [
    { label: "requests/s", colour: "one", values: data.throughput, fill: true },
    ...(data.load.rate ? [{ label: "planned iterations/s", colour: "seven", values: data.load.rate, dash: [6, 4] }] : []),
  ], three);
  overTime("chart-load", "Load", load, three);
  overTime("chart-errors", "Errors", [{ label: "failed/s", colour: "bad", values: data.errors, fill: true }], three);
  overTime("chart-times", "Response time", [
    { label: "p50", colour: "one", values: data.p50 },
    { label: "p95", colour: "two", values: data.p95 },
    { label: "p99", colour: "three", values: data.p99 },
  ], milliseconds);
  distribution("chart-response", "response");
  distribution("chart-service", "service");
  toggles();
  document.querySelectorAll("table.sortable").forEach(sortable);
  draw();

  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const { plot, holder } of charts) plot.setSize({ width: holder.clientWidth, height: plot.height });
  });
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
    draw();
  });
  addEventListener("afterprint", () => {
    if (before) root.dataset.theme = before;
    else delete root.dataset.theme;
    draw();
  });
})();
