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
  const highest = (rows) => rows.flat().reduce((a, b) => Math.max(a, b ?? 0), 0);

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

  function shadeUnjudged(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.font = `${10 * devicePixelRatio}px system-ui, sans-serif`;
    data.unjudged.forEach((span) => {
      const from = Math.max(plot.valToPos(span.from, "x", true), bbox.left);
      const to = Math.min(plot.valToPos(span.to, "x", true), bbox.left + bbox.width);
      if (to <= from) return;
      ctx.fillStyle = colour("grid");
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
      ctx.fillStyle = colour("soft");
      if (ctx.measureText(span.text).width < to - from) ctx.fillText(span.text, from + 3, bbox.top + 11 * devicePixelRatio);
    });
    ctx.restore();
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

  const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600];
  const overTime = {
    x: { label: "time", show: clock, incrs: SECONDS, cursor: { sync: { key: "time" } } },
    hooks: { drawClear: [shadeUnjudged], draw: [markEvents] },
  };

  // A limit far above its curve is only in the legend: drawn, it would press the curve against the axis.
  const limitsOn = (metric, labels, lines, scaled = (value) => value) => {
    const top = highest(lines.map((line) => line.values));
    return data.limits
      .filter((one) => one.metric === metric)
      .filter((one) => Object.keys(one.selector).length === 0 ? !labels.name : Object.entries(one.selector).every(([label, value]) => labels[label] === value))
      .map((one) => {
        const values = lines[0].values.map((value, at) => scaled(one.value, at));
        return { label: one.text, colour: "bad", dash: [8, 4], values, limit: true, far: highest([values]) > 2 * top };
      });
  };

  // A chart of lines over any axis. `look` is asked again at each drawing, since the name that is chosen may change.
  function lines(place, show, look) {
    const holder = document.getElementById(place);
    if (!holder) return;
    const make = () => {
      const { x, xs, drawn, hooks = {}, scale = {}, height = 170 } = look();
      return new uPlot(
        {
          width: holder.clientWidth,
          height,
          padding: [16, 20, 0, 0],
          cursor: { ...x.cursor, focus: { prox: 30 }, drag: { x: true, y: false } },
          scales: { x: { time: false, ...scale }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
          axes: [
            axis({ size: 30, values: (u, ticks) => ticks.map((tick) => (tick == null ? "" : x.show(tick))), ...(x.incrs && { incrs: x.incrs }), ...x.axis }),
            axis({ size: 58, values: (u, ticks) => ticks.map(three) }),
          ],
          series: [
            { label: x.label, value: (u, value) => (value == null ? "–" : x.show(value)) },
            ...drawn.map((line) => ({
              label: line.label,
              stroke: colour(line.colour),
              width: line.dots ? 0 : 1.75,
              dash: line.dash,
              auto: !line.far,
              fill: line.fill ? `${colour(line.colour)}22` : undefined,
              paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : line.dots ? () => null : undefined,
              points: { show: Boolean(line.dots) || (xs.length < 3 && !line.limit), size: 5, fill: colour(line.colour) },
              value: (u, value) => show(value),
            })),
          ],
          hooks,
        },
        [xs, ...drawn.map((line) => line.values)],
        holder,
      );
    };
    register(holder, make);
  }

  // Both distributions share one scale, so that response and service time can be compared by eye.
  const times = data.names.flatMap((one) => [...one.response, ...one.service]).filter((value) => value > 0);
  const reach = [times.reduce((a, b) => Math.min(a, b), Infinity) * 0.9, highest([times]) * 1.15];

  const decades = [...Array(10).keys()].flatMap((decade) => [1, 2, 5].map((one) => Number(`${one}e${decade - 4}`)));
  const roundSteps = (low, high) => decades.filter((one) => one >= low && one <= high);

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
            axis({ size: 62, space: 16, splits: () => roundSteps(...reach), filter: (u, splits) => splits, values: (u, ticks) => ticks.map(three) }),
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

  function draw(some = charts) {
    for (const chart of some) {
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

  // The name whose curves are drawn: chosen from the list, or by its name in a table. Transactions are behind the names.
  const single = [...data.names, ...data.transactions];
  let chosen = single[0];
  const isTransaction = () => single.indexOf(chosen) >= data.names.length;
  const select = document.getElementById("name-chosen");
  function choose(index) {
    chosen = single[index];
    select.value = String(index);
    draw(charts.filter((chart) => chart.holder.dataset.kind === "name"));
  }
  function choices() {
    if (!select) return;
    single.forEach((one, index) => select.add(new Option(one.name, String(index))));
    select.addEventListener("change", () => choose(Number(select.value)));
    document.querySelectorAll("tr[data-name]").forEach((row) => {
      const index = single.findIndex((one) => one.name === row.dataset.name);
      if (index < 1) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "pick";
      button.append(...row.cells[0].childNodes);
      button.addEventListener("click", () => {
        choose(index);
        select.scrollIntoView({ block: "start" });
        select.focus({ preventScroll: true });
      });
      row.cells[0].append(button);
    });
  }

  // The rows with the sums of groups, by group; and the other rows of one.
  const headsOf = (body) => new Map([...body.querySelectorAll("tr.group")].map((row) => [row.dataset.group, row]));
  const membersOf = (body, group) => [...body.rows].filter((row) => row.dataset.group === group && !row.classList.contains("group"));
  function foldable(body) {
    headsOf(body).forEach((head, group) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "fold";
      button.setAttribute("aria-expanded", "true");
      button.append(...head.cells[0].childNodes);
      button.addEventListener("click", () => {
        const folded = button.getAttribute("aria-expanded") === "true";
        button.setAttribute("aria-expanded", String(!folded));
        membersOf(body, group).forEach((row) => row.classList.toggle("folded", folded));
      });
      head.cells[0].append(button);
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
        const order = (a, b) => (down ? -1 : 1) * (typeof key(a) === "number" ? key(a) - key(b) : key(a).localeCompare(key(b)));
        const heads = headsOf(body); // groups are sorted by their sums, and the names of each below it
        const headOf = (row) => heads.get(row.dataset.group) ?? row;
        [...body.rows]
          .sort((a, b) => (headOf(a) === headOf(b) ? (b === headOf(b)) - (a === headOf(a)) || order(a, b) : order(headOf(a), headOf(b)) || headOf(a).rowIndex - headOf(b).rowIndex))
          .forEach((row) => body.append(row));
      });
    });
    foldable(table.tBodies[0]);
    const search = document.querySelector(`input[data-for="${table.id}"]`);
    if (!search) return;
    search.hidden = false;
    search.addEventListener("input", () => {
      const wanted = search.value.toLowerCase().split(/\s+/);
      for (const row of table.tBodies[0].rows) {
        row.hidden = !wanted.every((word) => row.cells[0].textContent.toLowerCase().includes(word));
      }
      for (const [group, head] of headsOf(table.tBodies[0])) head.hidden = membersOf(table.tBodies[0], group).every((row) => row.hidden);
    });
  }

  data.names.forEach((one, index) => {
    one.colour = paletteOf(index);
    one.shown = index < 6;
  });
  const planned = (label, values) => (values ? [{ label, colour: "seven", values, dash: [6, 4] }] : []);
  const percentiles = (of) => [
    { label: "p50", colour: "one", values: of.p50 },
    { label: "p95", colour: "two", values: of.p95 },
    { label: "p99", colour: "three", values: of.p99 },
  ];
  const ofRun = (drawn) => () => ({ ...overTime, xs: data.time, drawn });

  const throughput = [{ label: "requests/s", colour: "one", values: data.throughput, fill: true }];
  lines("chart-throughput", three, ofRun([
    ...throughput,
    ...planned("planned iterations/s", data.load.rate),
    ...limitsOn("requests_per_s", {}, throughput),
  ]));
  lines("chart-load", three, ofRun([
    { label: "users", colour: "three", values: data.users, stepped: true, fill: true },
    ...planned("planned users", data.load.planned),
  ]));
  const errors = data.errors.map((one, index) => ({
    label: `${one.name}/s`, colour: index ? paletteOf(index) : "bad", values: one.values, fill: index === 0,
  }));
  lines("chart-errors", three, ofRun([
    ...errors,
    ...limitsOn("error_ratio", {}, errors, (ratio, at) => (data.throughput[at] == null ? null : ratio * data.throughput[at])),
  ]));
  const ofAll = percentiles(data);
  lines("chart-times", milliseconds, ofRun([...ofAll, ...limitsOn("response_time", {}, ofAll)]));

  // Points by load, in the order that uPlot needs: of the horizontal axis.
  const against = (values, label, show, named) => () => {
    const order = [...values.keys()].filter((at) => values[at] > 0).sort((a, b) => values[a] - values[b]);
    const picked = (line) => ({ ...line, values: order.map((at) => line.values[at]), dots: true, fill: false });
    return { x: { label, show }, xs: order.map((at) => values[at]), drawn: named.map(picked), height: 240 };
  };
  const load = data.load.rate ?? data.users;
  lines("chart-capacity", three, against(load, data.load.rate ? "planned iterations/s" : "users", three, throughput));
  lines("chart-latency", milliseconds, against(data.throughput, "requests/s", three, ofAll.slice(0, 2)));

  const ofName = (made) => () => ({ ...overTime, x: { ...overTime.x, cursor: { sync: { key: "name" } } }, xs: chosen.over_time.time, drawn: made() });
  lines("chart-name-rate", three, ofName(() => {
    const requests = [{ label: isTransaction() ? "transactions/s" : "requests/s", colour: "one", values: chosen.over_time.requests, fill: true }];
    const failed = { label: "failed/s", colour: "bad", values: chosen.over_time.failures, fill: true };
    return [...requests, failed, ...(isTransaction() ? [] : limitsOn("requests_per_s", chosen.labels, requests))];
  }));
  lines("chart-name-times", milliseconds, ofName(() => {
    const own = percentiles(chosen.over_time);
    return [...own, ...limitsOn(isTransaction() ? "transaction_time" : "response_time", chosen.labels, own)];
  }));
  lines("chart-name-bars", three, () => {
    const { edges, counts } = chosen.bars;
    const ends = [edges[0] ?? 1, edges.at(-1) ?? 2];
    return {
      x: { label: "from", show: milliseconds, axis: { space: 40, splits: () => roundSteps(...ends), filter: (u, splits) => splits } },
      xs: edges,
      drawn: [{ label: isTransaction() ? "transactions" : "requests", colour: "one", values: edges.length ? [...counts, 0] : [], stepped: true, fill: true }],
      scale: { distr: 3, range: () => ends },
    };
  });

  const runs = data.trend;
  const ofTrend = (drawn) => () => ({
    x: { label: "run", show: (at) => (runs[at] ? runs[at].run : ""), incrs: [1, 2, 5, 10], axis: { values: (u, ticks) => ticks.map((at) => String(at + 1)) } },
    xs: runs.map((_, at) => at),
    drawn: drawn.map((line) => ({ ...line, values: runs.map((run) => run[line.key]) })),
  });
  lines("chart-trend-times", milliseconds, ofTrend(percentiles({}).map((line) => ({ ...line, key: line.label }))));
  lines("chart-trend-throughput", three, ofTrend([{ label: "requests/s", colour: "one", key: "throughput" }]));

  distribution("chart-response", "response");
  distribution("chart-service", "service");
  toggles();
  choices();
  document.querySelectorAll("table.sortable").forEach(sortable);
  draw();

  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
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
