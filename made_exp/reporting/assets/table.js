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
