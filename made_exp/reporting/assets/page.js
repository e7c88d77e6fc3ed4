"use strict";
// A click on a column's title sorts by it; a second click turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
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

for (const image of document.querySelectorAll("figure img")) {
  image.addEventListener("click", () => image.parentElement.classList.toggle("wide"));
}

// Charts. Text that users wrote is only ever set as text, never as markup.
async function drawChart(item) {
  const views = await Bokeh.embed.embed_item(item);
  const plot = views.roots[0].model, card = document.getElementById(item.target_id).closest(".card");
  const renderers = (name) => plot.renderers.filter((renderer) => renderer.name === name);
  const near = [plot.y_range.start, plot.y_range.end];
  const toggle = (name, change) =>
    card.querySelector(`input[name=${name}]`)?.addEventListener("change", (event) => change(event.target.checked));
  toggle("whole", (on) => {
    const [start, end] = on ? plot.tags : near;
    plot.y_range.setv({ start, end });
  });
  toggle("train", (on) => renderers("train").forEach((renderer) => { renderer.visible = on; }));
  card.querySelectorAll(".legend li[data-rank]").forEach((label) => {
    const select = (indices) => renderers("valid").forEach((r) => { r.data_source.selected.indices = indices; });
    const index = renderers("valid")[0].data_source.get_length() - 1 - Number(label.dataset.rank);
    label.addEventListener("pointerenter", () => select([index]));
    label.addEventListener("pointerleave", () => select([]));
  });
}

for (const item of JSON.parse(document.getElementById("data").textContent)) drawChart(item);
