"use strict";
// Charts from the data that stands in the page. Text is only ever set as text, never as markup.
const SIZE = { left: 64, right: 12, top: 14, bottom: 46 };
const NUM_HUES = 8;
const tip = document.getElementById("tip");

for (const place of document.querySelectorAll(".chart")) {
  const table = JSON.parse(document.getElementById("data").textContent)[place.dataset.table];
  if (place.dataset.setting === undefined) drawCurves(place, table);
  else drawSetting(place, table, table.settings[place.dataset.setting]);
}

function svgElement(parent, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function short(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e5 || size < 1e-3)) return value.toExponential().replace(/\.(\d{2})\d+/, ".$1");
  return String(Number(value.toPrecision(size >= 1000 ? 7 : 5)));
}

function showTip(event, text) {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 8)) + "px";
}

function hideTip() { tip.hidden = true; }

// ---- scales: functions from a value to a pixel, with ticks

function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= 0.7 * rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-9 * step; i++) ticks.push(i * step);
  return ticks;
}

function linearScale(low, high, from, to, values = []) {
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const scale = (v) => from + ((v - low) / (high - low)) * (to - from);
  const distinct = distinctValues(values);
  const shown = distinct.length && distinct.length <= 7 ? spread(distinct, scale) : linearTicks(low, high, 6);
  scale.ticks = shown.map((v) => [scale(v), short(v)]);
  return scale;
}

function distinctValues(values) { return [...new Set(values)].sort((a, b) => a - b); }

// Logarithmic; a zero has its own place on the left, because it has no logarithm.
function logScale(values, from, to) {
  const positive = values.filter((v) => v > 0);
  const low = Math.log10(Math.min(...positive)), high = Math.log10(Math.max(...positive));
  const start = values.includes(0) ? from + 0.14 * (to - from) : from;
  const pad = Math.max(0.08 * (high - low), 0.05);
  const inner = linearScale(low - pad, high + pad, start, to);
  const scale = (v) => (v > 0 ? inner(Math.log10(v)) : from + 4);
  const powers = [];
  for (let p = Math.ceil(low - pad); p <= high + pad; p++) powers.push(10 ** p);
  const distinct = distinctValues(positive);
  const shown = distinct.length <= 7 ? spread(distinct, scale) : powers;
  scale.ticks = shown.map((v) => [scale(v), short(v)]);
  if (values.includes(0)) scale.ticks.unshift([scale(0), "0"]);
  return scale;
}

// Those values whose ticks leave each other room.
function spread(values, scale) {
  const kept = [];
  for (const v of values) if (!kept.length || scale(v) - scale(kept.at(-1)) > 44) kept.push(v);
  return kept;
}

function bandScale(labels, from, to) {
  const step = (to - from) / labels.length;
  const scale = (label) => from + (labels.indexOf(label) + 0.5) * step;
  const room = Math.max(3, Math.floor(step / 7));
  scale.ticks = labels.map((label) => [scale(label), label.length > room ? label.slice(0, room - 1) + "…" : label]);
  return scale;
}

// ---- frame

// The drawing is as wide as its place, so that text keeps its size.
function area(place) {
  const width = Math.max(place.clientWidth, 320), height = place.clientWidth > 700 ? 380 : 300;
  return { width, height, x0: SIZE.left, x1: width - SIZE.right, y0: height - SIZE.bottom, y1: SIZE.top };
}

function frame(place, size, xScale, yScale, xTitle, yTitle) {
  const { width, height } = size, { left, right, top, bottom } = SIZE;
  place.querySelector("svg")?.remove();
  const svg = svgElement(place, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${yTitle} by ${xTitle}` });
  place.prepend(svg);
  const clip = "clip" + Math.random().toString(36).slice(2);
  svgElement(svgElement(svg, "clipPath", { id: clip }), "rect", { x: left, y: top - 2, width: width - left - right, height: height - top - bottom + 4 });
  for (const [y, label] of yScale.ticks) {
    svgElement(svg, "line", { x1: left, x2: width - right, y1: y, y2: y, class: "grid" });
    svgElement(svg, "text", { x: left - 8, y: y + 4, "text-anchor": "end" }, label);
  }
  svgElement(svg, "line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "axis" });
  for (const [x, label] of xScale.ticks) {
    svgElement(svg, "line", { x1: x, x2: x, y1: height - bottom, y2: height - bottom + 4, class: "axis" });
    svgElement(svg, "text", { x, y: height - bottom + 18, "text-anchor": "middle" }, label);
  }
  svgElement(svg, "text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xTitle);
  svgElement(svg, "text", { x: 0, y: 0, transform: `translate(13 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle);
  return svgElement(svg, "g", { "clip-path": `url(#${clip})` });
}

function padded(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const pad = 0.07 * (high - low) || 0.02 * Math.abs(high) || 0.5;
  return [low - pad, high + pad];
}

// ---- NLL curves

// Limits that show where the curves end, not the heights from which they fall.
function robustRange(runs) {
  const values = runs.flatMap((run) => run.curve.map((p) => p[2] ?? p[1])).filter((v) => v !== null).sort((a, b) => a - b);
  const low = values[0], middle = values[Math.floor(values.length / 2)];
  return padded([low, Math.min(values.at(-1), middle + 3 * (middle - low))]);
}

function drawCurves(place, table) {
  const runs = table.runs.filter((run) => run.curve.some((p) => p[1] !== null || p[2] !== null));
  const card = place.closest(".card");
  const options = [...card.querySelectorAll("input")];
  const draw = () => {
    const size = area(place);
    const [everything, withTrain] = options.map((o) => o.checked);
    const points = runs.flatMap((run) => run.curve);
    const all = points.flatMap((p) => [p[2], withTrain ? p[1] : null]).filter((v) => v !== null);
    const [low, high] = everything && all.length ? padded(all) : robustRange(runs);
    const epochs = points.map((p) => p[0]);
    const x = linearScale(Math.min(...epochs, 0), Math.max(...epochs), size.x0, size.x1);
    const y = linearScale(low, high, size.y0, size.y1);
    const inner = frame(place, size, x, y, "epoch", "valid NLL (nats)");
    // The best are drawn last, above the others.
    for (let rank = runs.length - 1; rank >= 0; rank--) drawRun(place, inner, runs[rank], rank, x, y, withTrain);
  };
  options.forEach((option) => option.addEventListener("change", draw));
  draw();
  addEventListener("resize", draw);
  addLegend(place, runs);
}

function drawRun(place, inner, run, rank, x, y, withTrain) {
  const hue = rank < NUM_HUES ? `hue${rank}` : "other";
  for (const [column, kind] of withTrain ? [[1, "train"], [2, "valid"]] : [[2, "valid"]]) {
    const points = run.curve.filter((p) => p[column] !== null).map((p) => `${x(p[0]).toFixed(1)},${y(p[column]).toFixed(1)}`);
    if (!points.length) continue;
    if (points.length === 1) points.push(points[0].replace(/^[\d.-]+/, (v) => Number(v) + 3));
    const line = svgElement(inner, "polyline", { points: points.join(" "), class: `series ${kind} ${hue}`, "data-rank": rank });
    const target = svgElement(inner, "polyline", { points: points.join(" "), fill: "none", stroke: "transparent", "stroke-width": 10 });
    target.addEventListener("pointermove", (event) => { activate(place, rank); showTip(event, describe(run)); });
    target.addEventListener("pointerleave", () => { activate(place, null); hideTip(); });
    line.setAttribute("pointer-events", "none");
  }
}

function activate(place, rank) {
  place.classList.toggle("hovered", rank !== null);
  for (const line of place.querySelectorAll(".series")) line.classList.toggle("active", line.dataset.rank === String(rank));
}

function describe(run) {
  const lines = [run.label || run.name];
  if (run.test !== null) lines.push(`test ${run.test.toFixed(4)}` + (run.stderr === null ? "" : ` ± ${run.stderr.toFixed(4)}`) + " nats");
  if (run.valid !== null) lines.push(`valid ${run.valid.toFixed(4)} nats`);
  if (run.status !== "completed") lines.push(run.status);
  return lines.join("\n");
}

function addLegend(place, runs) {
  const list = document.createElement("ul");
  list.className = "legend";
  const addItem = (text, hue) => {
    const item = document.createElement("li");
    item.className = hue;
    item.append(document.createElement("i"), text);
    list.append(item);
    return item;
  };
  runs.slice(0, NUM_HUES).forEach((run, rank) => {
    const item = addItem(run.label || run.name, `hue${rank}`);
    item.addEventListener("pointerenter", () => activate(place, rank));
    item.addEventListener("pointerleave", () => activate(place, null));
  });
  if (runs.length > NUM_HUES) addItem(`${runs.length - NUM_HUES} more`, "other");
  place.append(list);
}

// ---- NLL against a setting

function drawSetting(place, table, setting) {
  const known = table.runs.filter((run) => run.settings[setting.key] !== undefined);
  const nll = (run) => run.test ?? run.valid;
  const scored = known.filter((run) => nll(run) !== null && run.status !== "failed");
  const failed = known.filter((run) => run.status === "failed");
  if (!scored.length) { place.textContent = "No run with this setting has finished."; return; }
  const draw = () => drawScatter(place, setting, known, scored, failed, nll);
  draw();
  addEventListener("resize", draw);
}

function drawScatter(place, setting, known, scored, failed, nll) {
  const size = area(place);
  const [from, to] = [size.x0 + 18, size.x1 - 18];
  const value = (run) => run.settings[setting.key];
  const numbers = scored.map(value);
  let x;
  if (setting.kind === "log") x = logScale(numbers, from, to);
  else if (setting.kind === "linear") x = linearScale(Math.min(...numbers), Math.max(...numbers), from, to, numbers);
  else x = bandScale([...new Set(known.map((run) => run.texts[setting.key]))], from, to);
  const at = (run) => {
    const pixel = x(setting.kind === "band" ? run.texts[setting.key] : value(run));
    return Math.max(from - 8, Math.min(to + 8, pixel));
  };
  const ends = scored.flatMap((run) => [nll(run) - (run.stderr ?? 0), nll(run) + (run.stderr ?? 0)]);
  const y = linearScale(...padded(ends), size.y0, size.y1 + (failed.length ? 20 : 0));
  const title = setting.title + (setting.kind === "log" ? " (log scale)" : "");
  const inner = frame(place, size, x, y, title, "test NLL (nats)");
  drawMeans(inner, scored, at, nll, y);
  for (const run of scored) drawDot(inner, run, at(run), y, nll(run));
  for (const run of failed) drawFailure(inner, run, at(run), setting);
}

function drawMeans(inner, runs, at, nll, y) {
  const groups = new Map();
  for (const run of runs) groups.set(at(run), [...(groups.get(at(run)) ?? []), nll(run)]);
  if (groups.size > runs.length / 2 && groups.size > 12) return;
  const means = [...groups].sort((a, b) => a[0] - b[0]);
  const points = means.map(([x, v]) => `${x},${y(v.reduce((a, b) => a + b, 0) / v.length)}`);
  svgElement(inner, "polyline", { points: points.join(" "), class: "mean" });
}

function drawDot(inner, run, x, y, nll) {
  if (run.stderr) svgElement(inner, "line", { x1: x, x2: x, y1: y(nll - run.stderr), y2: y(nll + run.stderr), class: "whisker" });
  const dot = svgElement(inner, "circle", { cx: x, cy: y(nll), r: 4.5, class: "dot" });
  dot.addEventListener("pointermove", (event) => showTip(event, describe(run)));
  dot.addEventListener("pointerleave", hideTip);
}

function drawFailure(inner, run, x, setting) {
  const top = SIZE.top + 7;
  const mark = svgElement(inner, "path", { d: `M${x - 4} ${top - 4}l8 8m0 -8l-8 8`, class: "failure" });
  const text = `${run.label || run.name}\n${setting.title} = ${run.texts[setting.key]}\nfailed`;
  mark.addEventListener("pointermove", (event) => showTip(event, text));
  mark.addEventListener("pointerleave", hideTip);
}
