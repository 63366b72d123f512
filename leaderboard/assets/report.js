"use strict";
(() => {
  const groups = JSON.parse(document.getElementById("data").textContent);
  document.body.classList.add("live");
  const SVG = "http://www.w3.org/2000/svg";
  const FIRST_SAMPLES = 6, FIRST_SERIES = 6, FIRST_PICTURED = 8, DENSE = 14;
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 4", "12 4", "1 4", "6 2 1 2 1 2"];

  // Foreign text becomes text nodes and attributes, never markup.
  function el(tag, attributes = {}, ...children) {
    const svg = ["svg", "g", "line", "path", "text", "circle", "rect", "polyline", "title"].includes(tag);
    const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((c) => c !== null && c !== undefined));
    return node;
  }
  const fixed = (v, places) => (v === null || v === undefined ? "–" : v.toFixed(places));
  const signed = (v, places) => (v === null ? "–" : (v > 0 ? "+" : v < 0 ? "−" : "") + Math.abs(v).toFixed(places));
  const colour = (k) => `var(--s${k % 8})`;
  const option = (value, text, selected) => el("option", { value, selected }, text);
  const extent = (values) => [Math.min(...values), Math.max(...values)];

  function ticks(low, high, count = 5) {
    const span = high - low || Math.abs(high) || 1;
    const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= raw) * power;
    const found = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
    const places = Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9) + (step / 10 ** Math.floor(Math.log10(step) + 1e-9) % 1 > 0.01 ? 1 : 0)));
    return { at: found, text: (v) => v.toFixed(places) };
  }

  // Eight shapes, so that shape and dash also identify a method, not only its colour.
  function marker(k, x, y, r = 4.5) {
    const shapes = [
      `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
      `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
      `M0 ${-r * 1.25}L${r * 1.15} ${r * 0.85}H${-r * 1.15}z`,
      `M0 ${-r * 1.3}L${r * 1.3} 0L0 ${r * 1.3}L${-r * 1.3} 0z`,
      `M0 ${r * 1.25}L${r * 1.15} ${-r * 0.85}H${-r * 1.15}z`,
      `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
      `M0 ${-r * 1.2}V${r * 1.2}M${-r * 1.2} 0H${r * 1.2}`,
      `M${-r} ${-r * 0.6}h${2 * r}v${r * 1.2}h${-2 * r}z`,
    ];
    const open = k % 8 === 5 || k % 8 === 6;
    return el("path", { d: shapes[k % 8], transform: `translate(${x} ${y})`, fill: open ? "none" : colour(k), stroke: colour(k), "stroke-width": open ? 2.4 : 1 });
  }

  function dataTable(head, rows) {
    const tr = (cells, tag) => el("tr", {}, ...cells.map((c, i) => el(i ? tag : "th", i ? { class: "num" } : { scope: "row" }, c)));
    const details = el("details", {}, el("summary", {}, "Show as a table"));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) {
        details.append(el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "chart data" },
          el("table", {}, el("thead", {}, tr(head, "th")), el("tbody", {}, ...rows().map((r) => tr(r, "td"))))));
      }
    });
    return details;
  }

  const heading = (c) => `${c.heading}${c.unit ? ` (${c.unit})` : ""} ${c.up ? "↑" : "↓"}`;
  const fill = (node, ...children) => node.replaceChildren(...children);

  groups.forEach((group) => {
    const root = document.querySelector(`[data-group="${group.id}"]`);
    const find = (selector) => root.querySelector(selector);
    const byId = new Map(group.columns.map((c, i) => [c.id, { ...c, index: i }]));
    const quality = group.columns.filter((c) => !c.speed);
    board(); forest(); pareto(); breakdown(); pairs(); samples();

    function board() {
      const body = find(".board tbody"), rows = [...body.rows];
      const heads = [...root.querySelectorAll(".board thead th")];
      const cell = { rank: (r) => r.cells[0], name: (r) => r.cells[1] };
      const numeric = (r, key) => { const t = (cell[key] ? cell[key](r) : r.cells[+key + 2]).dataset.value; return t === "" ? null : +t; };
      heads.forEach((th) => {
        const button = th.querySelector("button"), key = button.dataset.column;
        button.addEventListener("click", () => {
          const column = group.columns[+key];
          const first = column && column.up ? "descending" : "ascending";
          const other = first === "ascending" ? "descending" : "ascending";
          const way = th.getAttribute("aria-sort") === first ? other : first;
          heads.forEach((h) => h.setAttribute("aria-sort", h === th ? way : "none"));
          const sign = way === "ascending" ? 1 : -1;
          const keyed = rows.map((r, i) => [r, i, key === "name" ? r.dataset.name : numeric(r, key)]);
          // Rows without a value stay at the end in both directions.
          keyed.sort((a, b) => a[2] === null || b[2] === null ? (a[2] === null) - (b[2] === null) || a[1] - b[1]
            : (a[2] < b[2] ? -sign : a[2] > b[2] ? sign : a[1] - b[1]));
          body.append(...keyed.map((k) => k[0]));
        });
      });
      const count = find(".bar .count");
      find(".filter").addEventListener("input", (event) => {
        const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        rows.forEach((r) => { r.hidden = !words.every((w) => r.dataset.name.includes(w)); shown += !r.hidden; });
        count.textContent = words.length ? `${shown} of ${rows.length} runs` : `${rows.length} run${rows.length === 1 ? "" : "s"}`;
      });
      const toggle = find(".intervals");
      toggle.addEventListener("click", () => {
        const on = toggle.getAttribute("aria-pressed") !== "true";
        toggle.setAttribute("aria-pressed", on);
        root.classList.toggle("no-intervals", !on);
      });
    }

    function forest() {
      const panel = find(".forest"), select = panel.querySelector("select");
      select.append(...group.columns.map((c) => option(c.id, heading(c), c.id === group.sort)));
      const draw = () => {
        const column = byId.get(select.value), i = column.index;
        const rows = group.rows.map((r, k) => ({ ...r, k, v: r.values[i], ci: r.ci[i] })).filter((r) => r.v !== null);
        rows.sort((a, b) => (column.up ? b.v - a.v : a.v - b.v));
        if (!rows.length) { fill(panel.querySelector(".chart"), el("p", { class: "quiet" }, "This metric is undefined for all runs.")); return; }
        const chart = panel.querySelector(".chart"), w = Math.max(280, chart.clientWidth || 520);
        const left = Math.min(170, w * 0.34), right = 58, line = 24, h = rows.length * line + 34;
        let [low, high] = extent(rows.flatMap((r) => [r.v, ...(r.ci || [])]));
        if (low === high) { low -= 0.5; high += 0.5; }
        const x = (v) => left + ((v - low) / (high - low)) * (w - left - right - 10) + 4;
        const t = ticks(low, high, w < 420 ? 3 : 5);
        const svg = el("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${heading(column)}: ${rows.slice(0, 5).map((r) => `${r.name} ${fixed(r.v, column.decimals)}`).join(", ")}` });
        t.at.forEach((v) => svg.append(el("line", { class: "grid", x1: x(v), x2: x(v), y1: 0, y2: h - 26 }), el("text", { x: x(v), y: h - 10, "text-anchor": "middle" }, t.text(v))));
        rows.forEach((r, k) => {
          const y = k * line + line / 2 + 2, ink = r.ranked ? "var(--accent)" : "var(--quiet)";
          const cut = Math.floor(left / 7.2), name = r.name.length > cut ? r.name.slice(0, cut - 1) + "…" : r.name;
          const g = el("g", {}, el("title", {}, r.full), el("text", { class: "strong", x: left - 10, y: y + 4, "text-anchor": "end" }, name));
          if (r.ci) g.append(el("line", { x1: x(r.ci[0]), x2: x(r.ci[1]), y1: y, y2: y, stroke: ink, "stroke-width": 2, "stroke-linecap": "round" }));
          g.append(el("circle", { cx: x(r.v), cy: y, r: 4.5, fill: r.ranked ? ink : "var(--card)", stroke: ink, "stroke-width": 2 }), el("text", { x: w, y: y + 4, "text-anchor": "end" }, fixed(r.v, column.decimals)));
          svg.append(g);
        });
        fill(chart, svg, el("p", { class: "quiet" }, "Dots: values; bars: 95 % intervals; hollow: not ranked."));
      };
      select.addEventListener("change", draw); redraw(draw);
    }

    function pareto() {
      const times = group.columns.filter((c) => c.time);
      const panel = find(".pareto"), [pick, time] = panel.querySelectorAll("select");
      const known = (c) => group.rows.filter((r) => r.values[byId.get(c.id).index] !== null).length;
      const usable = times.filter((c) => known(c) > 1);
      if (!usable.length || !quality.length) { find(".forest").classList.add("wide"); return; }
      panel.hidden = false;
      pick.append(...quality.map((c) => option(c.id, heading(c), c.id === group.sort)));
      time.append(...usable.map((c) => option(c.id, heading(c))));
      const draw = () => {
        const q = byId.get(pick.value), t = byId.get(time.value);
        const points = group.rows.map((r, k) => ({ k, name: r.name, full: r.full, ranked: r.ranked, x: r.values[t.index], y: r.values[q.index] })).filter((p) => p.ranked && p.x > 0 && p.y !== null);
        const chart = panel.querySelector(".chart");
        if (!points.length) { fill(chart, el("p", { class: "quiet" }, "No run has both values.")); return; }
        const best = (a, b) => (q.up ? a >= b : a <= b), strictly = (a, b) => (q.up ? a > b : a < b);
        const front = points.filter((p) => p.ranked && !points.some((o) => o.ranked && o !== p && o.x <= p.x && best(o.y, p.y) && (o.x < p.x || strictly(o.y, p.y)))).sort((a, b) => a.x - b.x);
        const w = Math.max(280, chart.clientWidth || 520), h = Math.max(260, Math.min(380, w * 0.62)), left = 52, bottom = 44, top = 12, right = 16;
        const logs = points.map((p) => Math.log10(p.x));
        let [x0, x1] = extent(logs), [y0, y1] = extent(points.map((p) => p.y));
        const padX = (x1 - x0) * 0.08 || 0.3, padY = (y1 - y0) * 0.1 || Math.abs(y1) * 0.1 || 0.1;
        x0 -= padX; x1 += padX * 2; y0 -= padY; y1 += padY;
        const x = (v) => left + ((Math.log10(v) - x0) / (x1 - x0)) * (w - left - right);
        const y = (v) => top + (1 - (v - y0) / (y1 - y0)) * (h - top - bottom);
        const svg = el("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${heading(q)} against ${heading(t)}. Not dominated: ${front.map((p) => p.name).join(", ")}` });
        const ty = ticks(y0, y1, 5);
        ty.at.forEach((v) => svg.append(el("line", { class: "grid", x1: left, x2: w - right, y1: y(v), y2: y(v) }), el("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, ty.text(v))));
        const powers = [];
        for (let e = Math.floor(x0); e <= Math.ceil(x1); e++) (x1 - x0 > 2.2 ? [1] : x1 - x0 > 1 ? [1, 3] : [1, 2, 5]).forEach((m) => powers.push(m * 10 ** e));
        // A narrow range may contain no power of ten; then use round steps on the same scale.
        const inside = powers.filter((v) => Math.log10(v) >= x0 && Math.log10(v) <= x1);
        const steps = ticks(10 ** x0, 10 ** x1, 4), narrow = inside.length < 3;
        (narrow ? steps.at : inside).filter((v) => Math.log10(v) >= x0 && Math.log10(v) <= x1).forEach((v) => svg.append(el("line", { class: "grid", x1: x(v), x2: x(v), y1: top, y2: h - bottom }), el("text", { x: x(v), y: h - bottom + 18, "text-anchor": "middle" }, narrow ? steps.text(v) : String(+v.toPrecision(1)))));
        svg.append(el("text", { x: (left + w - right) / 2, y: h - 6, "text-anchor": "middle" }, `${heading(t)}, log scale`));
        if (front.length > 1) svg.append(el("polyline", { points: front.map((p) => `${x(p.x)},${y(p.y)}`).join(" "), fill: "none", stroke: "var(--accent)", "stroke-width": 1.5, "stroke-dasharray": "4 3" }));
        const taken = [];
        points.forEach((p) => {
          const onFront = front.includes(p), px = x(p.x), py = y(p.y);
          const g = el("g", {}, el("title", {}, `${p.full}: ${fixed(p.y, q.decimals)}, ${fixed(p.x, t.decimals)} ${t.unit}`),
            el("circle", { cx: px, cy: py, r: onFront ? 6 : 4.5, fill: onFront ? "var(--accent)" : "var(--card)", stroke: onFront ? "var(--accent)" : "var(--quiet)", "stroke-width": 2 }));
          if (onFront || points.length <= 16) {
            const text = p.name.length > 20 ? p.name.slice(0, 19) + "…" : p.name, wide = text.length * 6.6;
            const spots = [[px + 9, py + 4, "start"], [px - 9, py + 4, "end"], [px, py - 11, "middle"], [px, py + 20, "middle"]];
            const box = ([tx, ty2, a]) => [a === "start" ? tx : a === "end" ? tx - wide : tx - wide / 2, ty2 - 11, wide, 14];
            const free = spots.find((s) => { const b = box(s); return b[0] > left && b[0] + b[2] < w && !taken.some((o) => b[0] < o[0] + o[2] && o[0] < b[0] + b[2] && b[1] < o[1] + o[3] && o[1] < b[1] + b[3]); });
            if (free) { taken.push(box(free)); g.append(el("text", { class: onFront ? "strong" : "", x: free[0], y: free[1], "text-anchor": free[2] }, text)); }
          }
          svg.append(g);
        });
        fill(chart, svg, el("p", { class: "quiet" }, "Filled and joined: methods for which no ranked method is both better and faster."),
          dataTable(["method", heading(q), heading(t)], () => points.map((p) => [p.name, fixed(p.y, q.decimals), fixed(p.x, t.decimals)])));
      };
      pick.addEventListener("change", draw); time.addEventListener("change", draw); redraw(draw);
    }

    function breakdown() {
      if (!group.breakdowns.length) return;
      const panel = find(".breakdown"), [metric, kind] = panel.querySelectorAll("select");
      panel.hidden = false;
      const part = (id) => byId.get(id) || { heading: "recall of hidden pixels", unit: "", up: true, decimals: 3 };
      const metrics = [...new Set(group.breakdowns.flatMap((b) => Object.keys(b.metrics)))];
      metric.append(...metrics.map((m) => option(m, heading(part(m)), m === group.sort)));
      const shown = new Set(group.rows.map((r, k) => k).filter((k) => group.rows[k].ranked).slice(0, FIRST_SERIES));
      if (!shown.size) group.rows.slice(0, FIRST_SERIES).forEach((r, k) => shown.add(k));
      const chips = panel.querySelector(".chips");
      group.rows.forEach((r, k) => {
        const box = el("input", { type: "checkbox", checked: shown.has(k) });
        box.addEventListener("change", () => { if (box.checked) shown.add(k); else shown.delete(k); draw(); });
        chips.append(el("label", { class: "chip", title: r.full }, box, el("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, el("line", { x1: 0, x2: 26, y1: 6, y2: 6, stroke: colour(k), "stroke-width": 2, "stroke-dasharray": DASHES[k % 8] }), marker(k, 13, 6, 3.6)), r.name));
      });
      const kinds = () => {
        const before = kind.value, fitting = group.breakdowns.filter((b) => b.metrics[metric.value]);
        fill(kind, ...fitting.map((b) => option(b.kind, b.title, b.kind === before)));
      };
      const draw = () => {
        const data = group.breakdowns.find((b) => b.kind === kind.value), lines = data.metrics[metric.value], column = part(metric.value);
        const chart = panel.querySelector(".chart"), ks = [...shown].sort((a, b) => a - b);
        const used = data.bins.map((b, i) => i).filter((i) => lines.some((l) => l[i]));
        const points = ks.flatMap((k) => used.map((i) => lines[k][i]).filter(Boolean));
        if (!points.length) { fill(chart, el("p", { class: "quiet" }, "Choose a method below.")); return; }
        let [y0, y1] = extent(points.flatMap((p) => [p[0], p[1] ?? p[0], p[2] ?? p[0]]));
        const pad = (y1 - y0) * 0.06 || 0.05; y0 -= pad; y1 += pad;
        const ordered = data.kind === "occlusion_ratio" || data.kind === "occluders", w = Math.max(300, chart.clientWidth || 900);
        const slant = !ordered && used.length * 84 > w - 70, h = 300 + (slant ? 50 : 0), left = 52, bottom = slant ? 96 : 50, top = 10, right = 14;
        const step = (w - left - right) / used.length, x = (n) => left + step * (n + 0.5), y = (v) => top + (1 - (v - y0) / (y1 - y0)) * (h - top - bottom);
        const svg = el("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${heading(column)} by ${data.title} for ${ks.map((k) => group.rows[k].name).join(", ")}; the numbers are in the table below` });
        const t = ticks(y0, y1, 5);
        t.at.forEach((v) => svg.append(el("line", { class: "grid", x1: left, x2: w - right, y1: y(v), y2: y(v) }), el("text", { x: left - 8, y: y(v) + 4, "text-anchor": "end" }, t.text(v))));
        used.forEach((i, n) => {
          const every = step < 46 && ordered ? 2 : 1;
          if (n % every) return;
          const label = ordered ? data.bins[i].replace(/[[\])]/g, "").replace(", ", "–") : data.bins[i];
          const text = el("text", slant ? { transform: `translate(${x(n) + 4} ${h - bottom + 16}) rotate(-38)`, "text-anchor": "end" } : { x: x(n), y: h - bottom + 18, "text-anchor": "middle" }, slant ? `${label} (${data.n[i]})` : label);
          svg.append(text);
          if (!slant && step > 40) svg.append(el("text", { x: x(n), y: h - bottom + 35, "text-anchor": "middle", opacity: 0.75 }, `n = ${data.n[i]}`));
        });
        const spread = ordered ? Math.min(step * 0.3, 5 * ks.length) : Math.min(step * 0.7, 13 * ks.length);
        ks.forEach((k, place) => {
          const shift = ks.length > 1 ? (place / (ks.length - 1) - 0.5) * spread : 0;
          const spots = used.map((i, n) => [lines[k][i], x(n) + shift]).filter((s) => s[0]);
          const g = el("g", {}, el("title", {}, group.rows[k].full));
          spots.forEach(([p, px]) => { if (p[1] !== null) g.append(el("line", { x1: px, x2: px, y1: y(p[1]), y2: y(p[2]), stroke: colour(k), "stroke-width": 1.5, opacity: 0.45 })); });
          if (ordered) g.append(el("polyline", { points: spots.map(([p, px]) => `${px},${y(p[0])}`).join(" "), fill: "none", stroke: colour(k), "stroke-width": 2, "stroke-dasharray": DASHES[k % 8] }));
          spots.forEach(([p, px]) => g.append(marker(k, px, y(p[0]), 4)));
          svg.append(g);
        });
        fill(chart, svg, dataTable(["method", ...used.map((i) => `${data.bins[i]} (${data.n[i]})`)], () => ks.map((k) => [group.rows[k].name, ...used.map((i) => (lines[k][i] ? fixed(lines[k][i][0], column.decimals) : "–"))])));
      };
      metric.addEventListener("change", () => { kinds(); draw(); });
      kind.addEventListener("change", draw);
      kinds(); redraw(draw);
    }

    function pairs() {
      const names = Object.keys(group.pairs), m = group.rows.length;
      if (!names.length || m < 2) return;
      const panel = find(".pairs"), select = panel.querySelector("select"), matrix = panel.querySelector(".matrix");
      panel.hidden = false;
      select.append(...names.map((n) => option(n, heading(byId.get(n)), n === group.sort)));
      const dense = m > DENSE;
      matrix.classList.toggle("dense", dense);
      const at = (i, j) => (i < j ? i * m - (i * (i + 1)) / 2 + (j - i - 1) : -1);
      const draw = () => {
        const data = group.pairs[select.value], column = byId.get(select.value);
        const value = (key, i, j) => { const v = data[key][at(Math.min(i, j), Math.max(i, j))]; return v === null || i < j ? v : -v; };
        const known = data.d.filter((v) => v !== null).map(Math.abs), top = Math.max(...known, 1e-12);
        panel.querySelector(".explain").textContent = `Row minus column. ▲ the row is better, ▼ it is worse, at p ≤ 0.05 (paired permutation test over ${data.clusters} source humans, Holm-corrected over all pairs of ranked methods); no sign: not significant. Select a cell to see its interval.`;
        fill(matrix, el("thead", {}, el("tr", {}, el("td", {}), ...group.rows.map((r) => el("th", { scope: "col", title: r.full }, el("span", {}, r.name))))),
          el("tbody", {}, ...group.rows.map((r, i) => el("tr", {}, el("th", { scope: "row", title: r.full }, r.name), ...group.rows.map((c, j) => {
            if (i === j) return el("td", { class: "self", "aria-label": "the same" });
            const d = value("d", i, j), p = data.p[at(Math.min(i, j), Math.max(i, j))];
            if (d === null) return el("td", { class: "self" }, "–");
            const good = p !== null && p <= 0.05, better = d > 0 === column.up, sign = good && d !== 0 ? (better ? "▲" : "▼") : "·";
            const strength = Math.round(8 + (Math.abs(d) / top) * 42);
            const button = el("button", { type: "button", "data-pair": `${i},${j}`, "aria-label": `${r.name} minus ${c.name}: ${signed(d, column.decimals)}${good ? (better ? ", better" : ", worse") : ", not significant"}` }, el("span", { class: "d" }, signed(d, column.decimals) + " "), sign);
            if (good) button.style.setProperty("--cell", `color-mix(in srgb, ${better ? "var(--s0)" : "var(--s1)"} ${strength}%, var(--card))`);
            return el("td", {}, button);
          })))));
      };
      matrix.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        const [i, j] = button.dataset.pair.split(",").map(Number), data = group.pairs[select.value], column = byId.get(select.value);
        const n = at(Math.min(i, j), Math.max(i, j)), flip = i < j ? 1 : -1, ends = data.lo[n] === null ? null : [flip * data.lo[n], flip * data.hi[n]].sort((a, b) => a - b);
        panel.querySelector(".picked").textContent = `${group.rows[i].name} − ${group.rows[j].name} = ${signed(flip * data.d[n], column.decimals + 1)}${column.unit ? " " + column.unit : ""}${ends ? `, 95 % interval ${signed(ends[0], column.decimals + 1)} to ${signed(ends[1], column.decimals + 1)}` : ""}${data.p[n] === null ? "" : `, p = ${data.p[n]} (Holm)`}`;
      });
      select.addEventListener("change", draw); whenSeen(panel, draw);
    }

    function samples() {
      const data = group.samples;
      if (!data) return;
      const panel = find(".samples"), order = panel.querySelector(".order"), by = panel.querySelector(".by"), search = panel.querySelector(".find");
      const cards = panel.querySelector(".cards"), more = panel.querySelector(".more"), count = panel.querySelector(".samples .count, .count");
      panel.hidden = false;
      by.append(option("mean", "mean of all methods", true), ...group.rows.map((r, k) => option(k, r.name)));
      const up = data.metric.up, n = data.ids.length;
      const across = (i) => data.values.map((v) => v[i]).filter((v) => v !== null);
      const mean = data.ids.map((_, i) => { const v = across(i); return v.length ? v.reduce((a, b) => a + b, 0) / v.length : null; });
      const spread = data.ids.map((_, i) => { const v = across(i); return v.length > 1 ? Math.max(...v) - Math.min(...v) : null; });
      const pictured = (i) => group.pictures[i] !== undefined, anyPictures = Object.keys(group.pictures).length > 0;
      const chosen = new Set(group.rows.map((_, k) => k).slice(0, FIRST_PICTURED));
      const pick = panel.querySelector(".pick");
      group.rows.forEach((r, k) => {
        const box = el("input", { type: "checkbox", checked: chosen.has(k) });
        box.addEventListener("change", () => { if (box.checked) chosen.add(k); else chosen.delete(k); draw(); });
        pick.querySelector(".chips").append(el("label", { class: "chip", title: r.full }, box, r.name));
      });
      if (!anyPictures) panel.querySelector(".legend").hidden = true;
      let limit = FIRST_SAMPLES;
      const sorted = () => {
        const own = by.value === "mean" ? mean : data.values[+by.value];
        const keys = { worst: (i) => (own[i] === null ? null : up ? own[i] : -own[i]), best: (i) => (own[i] === null ? null : up ? -own[i] : own[i]), disputed: (i) => (spread[i] === null ? null : -spread[i]), hidden: (i) => (data.ratio[i] === null ? null : -data.ratio[i]), id: (i) => i };
        const words = search.value.toLowerCase().split(/\s+/).filter(Boolean), key = keys[order.value];
        return [...data.ids.keys()].filter((i) => words.every((w) => `${data.ids[i]} ${data.occluders[i]}`.toLowerCase().includes(w))).map((i) => [i, key(i)])
          .sort((a, b) => (a[1] === null) - (b[1] === null) || a[1] - b[1] || a[0] - b[0]).map((p) => p[0]);
      };
      const score = (k, i, of = data) => fixed(of.values[k][i], of.metric.decimals);
      const photo = (src, alt, cls, size) => el("img", { src, alt, class: cls, loading: "lazy", decoding: "async", width: size[0], height: size[1] });
      const shot = (caption, value, ...layers) => el("figure", {}, el("div", { class: "shot" }, ...layers), el("figcaption", {}, el("span", { class: "who", title: caption }, caption), value === null ? null : el("span", { class: "score" }, value)));
      const card = (i) => {
        const facts = [data.ratio[i] === null ? null : `${Math.round(data.ratio[i] * 100)} % hidden`, data.occluders[i] || null, `mean ${fixed(mean[i], data.metric.decimals)}`].filter(Boolean).join(" · ");
        const node = el("article", { class: "card" }, el("header", {}, el("h4", {}, data.ids[i]), el("span", { class: "quiet" }, facts)));
        const ks = [...chosen].sort((a, b) => a - b), sources = group.pictures[i];
        if (!sources) {
          node.append(el("p", { class: "scores" }, ...ks.flatMap((k) => [el("span", { title: group.rows[k].full }, `${group.rows[k].name} ${score(k, i)}`)])));
          return node;
        }
        const slider = el("input", { type: "range", min: 0, max: 100, value: 100, "aria-label": `Reveal the predictions for ${data.ids[i]}` });
        slider.addEventListener("input", () => node.style.setProperty("--reveal", slider.value / 100));
        const size = sources.size, strip = el("div", { class: "strip" });
        strip.append(shot("input", null, photo(sources.input, `Input ${data.ids[i]}, the person partly hidden`, "", size)));
        if (sources.complete) strip.append(shot("ground truth", null, photo(sources.complete, `Ground truth of ${data.ids[i]}: the person without occluders`, "", size)));
        if (group.task !== "content") strip.append(shot("true mask", null, photo(sources.input, "", "under", size), photo(sources.truth, `True mask of ${data.ids[i]}`, "layer", size)));
        ks.forEach((k) => {
          const name = group.rows[k].name, mask = sources[`m${k}`], image = sources[`i${k}`];
          const said = (of) => `${name} on ${data.ids[i]}, ${of.metric.heading} ${score(k, i, of)}`;
          // A joint run has two pictures, each with its own metric.
          const own = data.content || data;
          if (mask) strip.append(shot(name, score(k, i), photo(sources.input, "", "under", size), photo(mask, `Mask of ${said(data)}`, "layer", size)));
          if (image) strip.append(shot(name, score(k, i, own), photo(sources.input, "", "", size), photo(image, `Recovered by ${said(own)}`, "answer", size)));
          if (!mask && !image) strip.append(shot(name, score(k, i), el("p", { class: "quiet" }, "no picture available")));
        });
        node.append(el("label", { class: "reveal" }, el("span", {}, "input"), slider, el("span", {}, "prediction")), strip);
        return node;
      };
      const draw = () => {
        const found = sorted();
        // If only some samples have pictures, those come first within the order.
        const first = anyPictures ? [...found.filter(pictured), ...found.filter((i) => !pictured(i))] : found;
        fill(cards, ...first.slice(0, limit).map(card));
        more.hidden = found.length <= limit;
        count.textContent = `${Math.min(limit, found.length)} of ${found.length} samples, by ${heading(data.metric)}${data.content && anyPictures ? `; recovered pictures by ${heading(data.content.metric)}` : ""}${anyPictures && Object.keys(group.pictures).length < n ? `; ${Object.keys(group.pictures).length} have pictures and come first` : ""}`;
      };
      const restart = () => { limit = FIRST_SAMPLES; draw(); };
      [order, by].forEach((s) => s.addEventListener("change", restart));
      search.addEventListener("input", restart);
      more.addEventListener("click", () => { const next = limit; limit += 2 * FIRST_SAMPLES; draw(); const h = cards.children[next]; if (h) { h.tabIndex = -1; h.focus({ preventScroll: true }); } });
      whenSeen(panel, draw);
    }
  });

  // Charts are drawn when they come near the viewport, and again when the width changes.
  function whenSeen(node, draw) {
    const seen = new IntersectionObserver((entries) => { if (entries.some((e) => e.isIntersecting)) { seen.disconnect(); draw(); } }, { rootMargin: "600px" });
    seen.observe(node);
    addEventListener("beforeprint", draw);
  }
  function redraw(draw) {
    draw();
    let width = innerWidth, timer;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(timer); timer = setTimeout(draw, 120); } });
  }
})();
