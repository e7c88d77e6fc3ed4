"use strict";
// A click on a column's title sorts by it; a second click turns the order round.
function makeSortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, key: row.cells[index].dataset.sort }));
      rows.sort((a, b) => compareKeys(a.key, b.key, descending));
      body.append(...rows.map((item) => item.row));
    });
  });
}

// Cells without a value stay at the bottom in both directions.
function compareKeys(a, b, descending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const numeric = !isNaN(a) && !isNaN(b);
  const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
  return descending ? -order : order;
}

// Filters: words, and conditions such as lr<0.01 or model=made|resmade.
const plain = (name) => name.toLowerCase().replace(/[\s_]/g, "");
const bare = (text) => text.toLowerCase().replaceAll('"', "");
const words = (text) => text.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
const CONDITION = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/;
const HOLDS = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};

function columnOf(table, name) {
  const names = [...table.tHead.rows[0].cells].map((cell) => [plain(cell.textContent), plain(cell.title)]);
  return names.findIndex((each) => each.includes(plain(name)));
}

// Of a row whether it is kept.
function conditionOf(table, word) {
  const [, name, sign, value] = CONDITION.exec(bare(word)) ?? [];
  const index = name === undefined ? -1 : columnOf(table, name);
  if (index < 0)
    return (row) => [...row.cells].some((cell) => bare(`${cell.textContent} ${cell.title}`).includes(bare(word)));
  const wanted = value.split("|");
  return (row) => {
    const key = bare(row.cells[index].dataset.sort), number = key === "" ? NaN : Number(key);
    if (HOLDS[sign]) return HOLDS[sign](number, Number(value));
    return wanted.some((one) => one === key || Number(one) === number) === (sign === "=");
  };
}

function makeFilter(table, changed) {
  const input = table.closest(".card").querySelector("input[type=search]");
  const rows = [...table.tBodies[0].rows];
  input.addEventListener("input", () => {
    const conditions = words(input.value).map((word) => conditionOf(table, word));
    for (const row of rows) row.hidden = !conditions.every((holds) => holds(row));
    const kept = rows.filter((row) => !row.hidden);
    input.nextElementSibling.textContent = conditions.length ? `${kept.length} of ${rows.length}` : "";
    changed(conditions.length ? new Set(kept.map((row) => row.dataset.run)) : null);
  });
  return input;
}

// What a box over the axis of `title` says of the runs below it, as a condition in the filter.
function brush(table, input, title, runs) {
  const index = columnOf(table, title);
  const rows = [...table.tBodies[0].rows].filter((row) => runs.has(row.dataset.run));
  const keys = [...new Set(rows.map((row) => row.cells[index].dataset.sort))];
  if (index < 0 || !keys.length) return;
  const name = title.replace(/\s/g, "_"), numbers = keys.map(Number);
  const quoted = (text) => (/[\s"]/.test(text) ? `"${text.replaceAll('"', "")}"` : text);
  const numeric = keys.length > 1 && !keys.includes("") && !numbers.some(isNaN);
  const conditions = numeric
    ? [`${name}>=${Math.min(...numbers)}`, `${name}<=${Math.max(...numbers)}`]
    : [`${name}=${quoted(keys.join("|"))}`];
  const others = words(input.value).filter((word) => plain(CONDITION.exec(word)?.[1] ?? "") !== plain(title));
  input.value = [...others, ...conditions].join(" ");
  input.dispatchEvent(new Event("input"));
}

for (const image of document.querySelectorAll("figure img")) {
  image.addEventListener("click", () => image.parentElement.classList.toggle("wide"));
}

// Text among lines has the page's colours.
function dress(plot) {
  const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name).trim();
  for (const { name, glyph } of plot.renderers.filter((one) => one.name === "text"))
    glyph.setv({ text_color: { value: color("--ink") }, background_fill_color: { value: color("--card") } });
}

// Charts. Text that users wrote is only ever set as text, never as markup.
async function drawChart(item) {
  const views = await Bokeh.embed.embed_item(item);
  const plot = views.roots[0].model, card = document.getElementById(item.target_id).closest(".card");
  const chart = { plot, card, ofRuns: plot.renderers.filter((one) => one.data_source.columns().includes("folder")) };
  const renderers = (name) => plot.renderers.filter((renderer) => renderer.name === name);
  dress(plot);
  const near = [plot.y_range.start, plot.y_range.end];
  const toggle = (name, change) =>
    card.querySelector(`input[name=${name}]`)?.addEventListener("change", (event) => change(event.target.checked));
  toggle("whole", (on) => {
    const [start, end] = on ? plot.tags : near;
    plot.y_range.setv({ start, end });
  });
  toggle("train", (on) => renderers("train").forEach((renderer) => { renderer.visible = on; }));
  if (card.classList.contains("curves"))
    card.querySelectorAll(".legend li[data-rank]").forEach((label) => {
      const folders = renderers("valid")[0].data_source.get("folder");
      const folder = folders[folders.length - 1 - Number(label.dataset.rank)];
      label.addEventListener("pointerenter", () => light(chart, new Set([folder])));
      label.addEventListener("pointerleave", () => light(chart, chart.kept));
    });
  return chart;
}

// Makes all runs of a chart faint but those in `kept`; none if it is null.
function light(chart, kept) {
  for (const renderer of chart.ofRuns) {
    const indices = kept === null ? [] : renderer.data_source.get("folder").flatMap((run, i) => (kept.has(run) ? [i] : []));
    renderer.data_source.selected.indices = indices;
    renderer.muted = kept !== null && !indices.length;
  }
}

function onBox(chart, choose) {
  chart.plot.on_event("selectiongeometry", ({ geometry, final }) => {
    if (!final || geometry.type !== "rect") return;
    chart.plot.tags.forEach((title, axis) => {
      if (axis < geometry.x0 || axis > geometry.x1) return;
      const runs = chart.ofRuns.flatMap(({ data_source }) => data_source.get("folder").filter((_, i) => {
        const place = data_source.get("ys")[i][axis];
        return place >= geometry.y0 && place <= geometry.y1;
      }));
      choose(title, new Set(runs));
    });
  });
}

const charts = Promise.all(JSON.parse(document.getElementById("data").textContent).map(drawChart));
for (const table of document.querySelectorAll("table.sortable")) {
  makeSortable(table);
  const ofRuns = table.querySelector("tr[data-run] td.run") !== null;
  const section = table.closest(".dataset");
  const here = async () => (await charts).filter((chart) => ofRuns && section.contains(chart.card));
  const input = makeFilter(table, async (kept) => {
    for (const chart of await here()) light(chart, (chart.kept = kept));
  });
  here().then((drawn) => drawn.forEach((chart) => {
    chart.kept = null;
    if (chart.card.classList.contains("parallel")) onBox(chart, (title, runs) => brush(table, input, title, runs));
  }));
}
