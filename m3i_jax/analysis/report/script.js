"use strict";
// Values under the pointer and the keyboard, models on and off, smoothing, theme, newer pages.
// Texts only ever become text: nothing here makes markup of what the page holds.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SMOOTHING = [0, 0.5, 1, 2, 4, 8]; // times what the page was drawn with is 1
  const kept = { off: new Set(), smooth: 2, picked: new Map(), open: new Set() };
  const tip = document.getElementById("tip");
  let data = { steps: [], charts: [] };
  let pointed = null; // the chart that a pointer, and not the keyboard, has asked

  // Scales, the same as those of the drawing.
  const place = ([low, high, start, end, log], value) => {
    const [x, a, b] = log ? [value, low, high].map(Math.log10) : [value, low, high];
    return start + ((end - start) * (x - a)) / (b - a);
  };
  const value = (number, unit) => {
    if (unit === "share") return (100 * number).toFixed(1) + " %";
    if (Number.isInteger(number)) return number.toLocaleString("en").replaceAll(",", "\u202f");
    const size = Math.abs(number);
    return size >= 1e-4 && size < 1e6 ? number.toPrecision(4) : number.toExponential(3);
  };
  const smoothed = (steps, values, constant) => {
    if (!(constant > 0)) return values;
    let total = 0;
    let weight = 0;
    return values.map((y, i) => {
      const keep = i ? Math.exp((steps[i - 1] - steps[i]) / constant) : 0;
      total = keep * total + y;
      weight = keep * weight + 1;
      return total / weight;
    });
  };

  // What is said of a place: lines of text, each with the colour of a model or none.
  function say(lines, x, y) {
    tip.replaceChildren(
      ...lines.map(([tone, text]) => {
        const line = document.createElement("p");
        if (tone) line.append(Object.assign(document.createElement("i"), { className: "chip " + tone }));
        line.append(text);
        return line;
      }),
    );
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - width - 4)) + "px";
    tip.style.top = (y - height - 14 > 4 ? y - height - 14 : y + 18) + "px";
  }
  function hush(plot) {
    tip.hidden = true;
    plot.querySelectorAll(".cursor, .pointer").forEach((mark) => mark.remove());
    plot.querySelector(".ring")?.setAttribute("width", 0);
  }
  function draw(plot, name, attributes) {
    const shape = document.createElementNS(SVG, name);
    for (const [key, said] of Object.entries(attributes)) shape.setAttribute(key, said);
    plot.append(shape);
  }
  const onScreen = (plot, x, y) => {
    const at = new DOMPoint(x, y).matrixTransform(plot.getScreenCTM());
    return [at.x, at.y];
  };
  const inPlot = (plot, event) =>
    new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());

  // Each kind of chart: how many places it has, which is nearest, and what is said of one.
  const lines = (chart) => {
    const shown = () => chart.lines.filter((line) => !kept.off.has(line.model));
    const steps = () =>
      [...new Set(shown().flatMap((line) => data.steps[line.steps]))].sort((a, b) => a - b);
    return {
      nearest(point) {
        const all = steps();
        const far = all.map((step) => Math.abs(place(chart.x, step) - point.x));
        return far.indexOf(Math.min(...far));
      },
      move: (at, key) => at + ({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0),
      count: () => steps().length,
      show(plot, at) {
        const step = steps()[at];
        const x = place(chart.x, step);
        const said = [[null, "step " + value(step)]];
        draw(plot, "line", { class: "cursor", x1: x, x2: x, y1: chart.y[3], y2: chart.y[2] });
        for (const line of shown()) {
          const own = data.steps[line.steps];
          let i = own.findIndex((other) => other >= step);
          if (i < 0) i = own.length - 1;
          if (i && step - own[i - 1] < own[i] - step) i -= 1;
          const y = place(chart.y, line.values[i]);
          draw(plot, "circle", { class: "pointer", cx: place(chart.x, own[i]), cy: y, r: 2.6 });
          const when = own[i] === step ? "" : " (step " + value(own[i]) + ")";
          const name = line.name ? line.name + "  " : "";
          said.push([line.model, name + value(line.values[i], chart.unit) + when]);
        }
        say(said, ...onScreen(plot, x, chart.top));
      },
    };
  };
  // Heads are marks, too; what is said of them is put together here.
  const heads = (chart) => {
    const all = chart.heads.flatMap((row, i) => row.map((number, j) => [i, j, number]));
    const said = ([i, j, number]) => {
      const [low, high] = [chart.low[i]?.[j], chart.high[i]?.[j]];
      const own = (x) => value(x, chart.unit);
      const ends = high === undefined ? "" : ` (95 %: ${own(low)} to ${own(high)})`;
      const unit = chart.unit && chart.unit !== "share" ? " " + chart.unit : "";
      return `block ${chart.blocks[i]}, ${chart.what} ${j + 1}: ${own(number)}${unit}${ends}`;
    };
    const at = (one) => [place(chart.x, one[0] + 1), place(chart.y, one[2])];
    return marks({ marks: all.map((one) => [...at(one), said(one)]) });
  };
  const marks = (chart) => ({
    nearest(point) {
      const far = chart.marks.map(([x, y]) => Math.hypot(x - point.x, y - point.y));
      return far.indexOf(Math.min(...far));
    },
    move: (at, key) =>
      at + ({ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[key] ?? 0),
    count: () => chart.marks.length,
    show(plot, at) {
      const [x, y, text] = chart.marks[at];
      draw(plot, "circle", { class: "pointer", cx: x, cy: y, r: 4 });
      say([[null, text]], ...onScreen(plot, x, y));
    },
  });
  const heat = (chart) => {
    const [left, top, right, bottom] = chart.box;
    const [down, across] = [chart.rows.length, chart.columns.length];
    const [w, h] = [(right - left) / across, (bottom - top) / down];
    const within = (x, most) => Math.max(0, Math.min(most - 1, Math.floor(x)));
    return {
      nearest: (point) =>
        within((point.y - top) / h, down) * across + within((point.x - left) / w, across),
      move: (at, key) =>
        at + ({ ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[key] ?? 0),
      count: () => down * across,
      show(plot, at) {
        const [i, j] = [Math.floor(at / across), at % across];
        const ring = plot.querySelector(".ring");
        const [x, y] = [left + j * w, top + i * h];
        for (const [key, said] of Object.entries({ x, y, width: w, height: h }))
          ring.setAttribute(key, said);
        const text = `${chart.rows[i]}, ${chart.columns[j]}: ${value(chart.values[i][j])}`;
        say([[null, text]], ...onScreen(plot, x + w / 2, y));
      },
    };
  };
  const KINDS = { lines, heads, marks, heat };

  function listen(plot) {
    const chart = data.charts[plot.dataset.chart];
    if (!chart || !KINDS[plot.dataset.kind]) return;
    const kind = KINDS[plot.dataset.kind](chart);
    let at = -1;
    const show = (next) => {
      if (!kind.count()) return;
      at = Math.max(0, Math.min(kind.count() - 1, next));
      hush(plot);
      kind.show(plot, at);
    };
    const point = (event) => {
      pointed = plot;
      show(kind.nearest(inPlot(plot, event)));
    };
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") hush(plot); // a finger that leaves has just been there
    });
    plot.addEventListener("blur", () => hush(plot));
    plot.addEventListener("keydown", (event) => {
      const ends = { Home: 0, End: kind.count() - 1 };
      if (event.key === "Escape") return hush(plot);
      if (!event.key.startsWith("Arrow") && !(event.key in ends)) return;
      event.preventDefault();
      pointed = null;
      show(ends[event.key] ?? (at < 0 ? kind.count() - 1 : kind.move(at, event.key)));
    });
  }

  function redraw() {
    for (const plot of document.querySelectorAll('svg[data-kind="lines"]')) {
      const chart = data.charts[plot.dataset.chart];
      if (!chart || !chart.smooth) continue;
      const paths = plot.querySelectorAll("path.line");
      chart.lines.forEach((line, i) => {
        const steps = data.steps[line.steps];
        const means = smoothed(steps, line.values, chart.smooth * SMOOTHING[kept.smooth]);
        const points = means.map((y, k) =>
          [place(chart.x, steps[k]), place(chart.y, y)].map((c) => +c.toFixed(1)).join(" "),
        );
        paths[i].setAttribute("d", "M" + points.join("L"));
      });
    }
  }
  function hide() {
    for (const one of document.querySelectorAll("[data-model]"))
      one.classList.toggle("off", kept.off.has(one.dataset.model));
    for (const button of document.querySelectorAll("[data-toggle]"))
      button.setAttribute("aria-pressed", !kept.off.has(button.dataset.toggle));
  }

  // Theme: that of the device, until one is chosen.
  const root = document.documentElement;
  const store = (theme) => {
    try {
      if (theme) localStorage.setItem("theme", theme);
      return localStorage.getItem("theme");
    } catch {
      return theme; // a page that may keep nothing
    }
  };
  const isDark = () =>
    (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) ===
    "dark";
  function theme(chosen) {
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
    const button = document.getElementById("theme");
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-pressed", isDark());
  }

  function start() {
    data = JSON.parse(document.getElementById("data").textContent);
    document.querySelectorAll("svg.plot").forEach(listen);
    for (const button of document.querySelectorAll("[data-toggle]"))
      button.addEventListener("click", () => {
        const tone = button.dataset.toggle;
        if (!kept.off.delete(tone)) kept.off.add(tone);
        hide();
      });
    document.getElementById("theme").addEventListener("click", () => {
      theme(store(isDark() ? "light" : "dark"));
    });
    const slider = document.getElementById("smooth");
    slider?.addEventListener("input", () => {
      kept.smooth = +slider.value;
      redraw();
    });
    theme();
  }

  // A served page looks whether there is a newer one, and takes its place where the reader is.
  let version = null;
  function remember() {
    kept.open = new Set([...document.querySelectorAll("details")].flatMap((d, i) => (d.open ? [i] : [])));
    kept.picked = new Map(
      [...document.querySelectorAll(".shots input:checked")].map((one) => [one.name, one.id]),
    );
  }
  function recall() {
    document.querySelectorAll("details").forEach((d, i) => (d.open = kept.open.has(i)));
    for (const id of kept.picked.values()) {
      const one = document.getElementById(id);
      if (one) one.checked = true;
    }
    const slider = document.getElementById("smooth");
    if (slider) slider.value = kept.smooth;
    if (kept.smooth !== 2) redraw();
    hide();
  }
  async function follow() {
    const state = document.getElementById("state");
    try {
      const now = await (await fetch("state", { cache: "no-store" })).text();
      if (version !== null && now !== version) {
        const text = await (await fetch("./", { cache: "no-store" })).text();
        const newer = new DOMParser().parseFromString(text, "text/html");
        remember();
        for (const what of ["header", ".bar", "main", "#data"])
          document.querySelector(what).replaceWith(newer.querySelector(what));
        document.title = newer.title;
        tip.hidden = true;
        start();
        recall();
      }
      version = now;
    } catch {
      state.textContent = "Nobody answers any more: this is the last page that was made.";
    }
    setTimeout(follow, 2000);
  }

  addEventListener("scroll", () => pointed && hush(pointed), { passive: true });
  theme(store());
  start();
  if ("follow" in document.body.dataset) follow();
})();
