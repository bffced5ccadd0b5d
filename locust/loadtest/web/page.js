// Loaded first by Locust's page, which shows the message of a refused start only when the response has status 200,
// which keeps polling after its session has expired, and which knows neither the session's token nor how to log out.
// After a test it stops polling while its workers connect again, shows 0 of them for ever, and starts no other test.
// It is also all that the page without content has: see login.py.
(() => {
  const send = window.fetch;
  const own = document.currentScript;
  const base = new URL(".", own.src);
  const place = "loadtest-token"; // read by pages of this port only; a cookie is sent to every port
  const given = /^#loadtest=([\w-]+)$/.exec(window.location.hash);
  if (given) {
    // Any page can open this address with a token of its own, which would end the session: only our login page hands it out.
    if (document.referrer.startsWith(`${window.location.origin}/`)) window.localStorage.setItem(place, given[1]);
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
  }
  const login = () => window.location.assign(new URL("login", base));

  const later = (milliseconds) => new Promise((resolve) => window.setTimeout(resolve, milliseconds));
  // The figures after a test, once its workers are back; for 20 s at most, as they may be gone.
  const settled = async (answer, request) => {
    for (let left = 40; left > 0; left -= 1) {
      const { state, worker_count: workers } = await answer.clone().json();
      if (!["cleanup", "stopping"].includes(state) && (state !== "stopped" || workers !== 0)) return answer;
      await later(500);
      answer = await send(request);
    }
    return answer;
  };

  window.fetch = async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    const token = window.localStorage.getItem(place);
    if (token && url.origin === window.location.origin) request.headers.set("X-Loadtest-Token", token);
    const answer = await send(request);
    if (answer.status === 401) login();
    if (answer.ok && url.pathname.endsWith("/stats/requests")) return settled(answer, request);
    if (answer.ok || !url.pathname.endsWith("/swarm")) return answer;
    return new Response(answer.body, { status: 200, headers: answer.headers });
  };

  const save = async (answer, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name;
    link.click();
  };
  const named = (answer) => /^attachment.*?filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];

  // A page without content: a browser that opens an address sends no token, so the address is fetched with it.
  const become = async () => {
    if (!window.localStorage.getItem(place)) return login();
    const answer = await window.fetch(window.location, { headers: { Accept: "text/html" } });
    const name = named(answer);
    if (name) {
      await save(answer, name);
      return window.history.back();
    }
    const text = await answer.text();
    if (!(answer.headers.get("Content-Type") ?? "").startsWith("text/html")) { // as markup, a name in it would be a tag
      const shown = document.createElement("pre");
      shown.textContent = text;
      return document.body.replaceChildren(shown);
    }
    document.open();
    document.write(text.replace(/ nonce="[\w-]+"/g, ` nonce="${own.nonce}"`));
    document.close();
  };
  if ("shell" in own.dataset) return void become();

  // How the run goes, its verdict, its thresholds, why requests failed, and the run's files, in a corner of Locust's page.
  const colours = { passed: "#2e7d32", failed: "#c62828" };
  const element = (kind, text, style = "") => Object.assign(document.createElement(kind), { textContent: text, style });
  // Response time beside service time, which Locust's own charts do not have: where they part, requests waited.
  const drawn = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const chart = (times) => {
    if (times.length < 2) return [];
    const [width, height] = [400, 90];
    const legend = element("div", "", "margin-top: 0.3em"); // text in the drawing would shrink with it on a phone
    const [first, last] = [times[0][0], times.at(-1)[0]];
    const highest = Math.max(...times.flatMap(([, ...both]) => both)) || 1;
    const made = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img",
      "aria-label": "p95 of response time and service time over the latest five minutes" });
    ["response time", "service time"].forEach((name, column) => {
      const colour = ["#1e88e5", "#ef6c00"][column];
      const points = times.map(([second, ...both]) => [width * (second - first) / (last - first),
        height - 2 - (height - 4) * both[column] / highest].map((one) => one.toFixed(1)).join(","));
      made.append(drawn("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2 }));
      legend.append(element("span", `p95 ${name}`, `color: ${colour}; margin-right: 1em`));
    });
    legend.append(element("span", `up to ${highest.toPrecision(3)} ms`));
    return [legend, made];
  };
  const opened = new Set(); // the samples that a person has unfolded, since they are made anew every two seconds
  const sample = ({ title, request, answer }) => {
    const folded = element("details", "");
    const text = element("pre", `${request}\n\n→ ${answer || "no answer"}`, "white-space: pre-wrap; overflow-wrap: anywhere");
    folded.append(element("summary", `A failed request: ${title}`), text);
    folded.open = opened.has(title);
    folded.ontoggle = () => opened[folded.open ? "add" : "delete"](title);
    return folded;
  };
  const shown = (result) => {
    const told = (reason) => result.thresholds.some((one) => reason.startsWith(`${one.rule}: `));
    const rules = result.thresholds.map((one) => {
      const narrowly = one.is_narrow ? ", narrowly" : "";
      const interval = one.spread ? `, 95 % interval ${one.spread}` : "";
      return `${one.outcome}${narrowly}: ${one.rule} (${one.worded}${interval})`;
    });
    const failures = result.failures.map((reason) => `failed requests: ${reason}`);
    const notes = result.notes.map((note) => `note: ${note}`);
    const reasons = result.reasons.filter((reason) => !told(reason));
    const lines = [...result.now.slice(1), ...rules, ...failures, ...reasons, ...notes];
    const list = element("ul", "", "margin: 0.4em 0; padding-left: 1.2em");
    list.append(...[...new Set(lines)].map((line) => element("li", line, "overflow-wrap: anywhere")));
    const files = result.files.map((name) => {
      const button = element("button", name, "margin: 0 0.4em 0.4em 0; padding: 0.2em 0.6em");
      button.onclick = async () => {
        const answer = await window.fetch(new URL(`loadtest-result/${name}`, base));
        if (answer.ok) await save(answer, named(answer) ?? name);
      };
      return button;
    });
    const head = [`${result.is_over ? "Verdict" : "So far"}: ${result.verdict}`, ...result.now.slice(0, 1)];
    return [head.join(" · "), ...files, ...chart(result.times), list, ...result.samples.map(sample)];
  };
  // The level of the load, which a person changes while a test follows a profile. The field outlasts what is told anew.
  const control = (() => {
    const form = element("form", "", "margin: 0.4em 0");
    const [unit, button, said] = [element("span", ""), element("button", "Change"), element("output", "")];
    const field = Object.assign(element("input", "", "width: 7em; margin: 0 0.4em"), { name: "level", required: true });
    const label = element("label", "Go on with ");
    label.append(field, unit);
    button.style = "margin: 0 0.6em; padding: 0.2em 0.6em";
    form.append(label, button, said);
    form.onsubmit = async (event) => {
      event.preventDefault();
      const body = new URLSearchParams({ level: field.value });
      const answer = await window.fetch(new URL("loadtest-level", base), { method: "POST", body });
      said.textContent = (await answer.json()).message;
    };
    return { form, shown: (load) => { form.hidden = !load; unit.textContent = load; } };
  })();
  const follow = async (corner) => {
    const answer = await window.fetch(new URL("loadtest-result", base));
    const text = answer.ok ? await answer.text() : "";
    if (text && text !== corner.dataset.text && JSON.parse(text).run_id) {
      const result = JSON.parse(text);
      corner.dataset.text = text;
      corner.style.borderColor = colours[result.verdict] ?? "#b26a00";
      const [head, ...rest] = shown(result);
      corner.firstElementChild.textContent = head; // it stays, and with it the focus
      control.shown(result.load);
      while (control.form.nextSibling) control.form.nextSibling.remove();
      control.form.after(...rest);
      corner.hidden = false;
    }
    window.setTimeout(follow, 2000, corner);
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (window.location.pathname.endsWith("/login")) return;
    const corner = document.createElement("details");
    corner.id = "loadtest-result";
    corner.hidden = true;
    corner.style = "position: fixed; left: 1em; bottom: 1em; z-index: 9; max-width: min(42em, 80vw); max-height: 60vh; "
      + "overflow: auto; padding: 0.5em 0.9em; border-left: 6px solid; background: inherit; color: inherit; "
      + "font: 14px/1.45 system-ui, sans-serif; box-shadow: 0 1px 6px #0006";
    corner.append(document.createElement("summary"), control.form);
    document.body.append(corner);
    follow(corner);
  });

  // The run time of a profile, in Locust's field for it; it stays as a person enters it until another is chosen.
  const enter = (field, text) => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, text);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const prefill = async () => {
    const answer = await window.fetch(new URL("loadtest-profiles", base));
    const runTimes = answer.ok ? await answer.json() : {};
    const fit = () => {
      const [profile, field] = [document.querySelector("[name=loadProfile]"), document.querySelector("[name=runTime]")];
      if (!profile || !field || field.dataset.profile === profile.value) return;
      if (runTimes[profile.value] && (field.dataset.profile || !field.value)) enter(field, runTimes[profile.value]);
      field.dataset.profile = profile.value;
    };
    document.addEventListener("change", fit);
    new MutationObserver(fit).observe(document.body, { childList: true, subtree: true });
    fit();
  };

  // Locust's own Profile is a label of its history of runs, and its form ends with an advertisement.
  const hidden = '.MuiTextField-root:has(input[name="profile"]), a[href^="https://aka.ms/"] { display: none; }';
  document.addEventListener("DOMContentLoaded", () => {
    if (window.location.pathname.endsWith("/login")) return;
    document.head.append(element("style", hidden));
    prefill();
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (!window.localStorage.getItem(place) || window.location.pathname.endsWith("/login")) return;
    const button = document.createElement("button");
    button.textContent = "Log out";
    button.style = "position: fixed; right: 1em; bottom: 1em; padding: 0.4em 0.8em";
    button.onclick = async () => {
      await window.fetch(new URL("logout", base), { method: "POST" });
      window.localStorage.removeItem(place);
      login();
    };
    document.body.append(button);
  });
})();
