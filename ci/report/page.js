"use strict";
// Filters. Without this script the page is the whole table.
const table = document.getElementById("matrix");
const heads = [...table.tHead.rows[0].cells].slice(1);
const [word, odd] = ["word", "odd"].map((id) => document.getElementById(id));
const machines = new Map();

for (const name of new Set(heads.map((head) => head.dataset.machine))) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  label.append(box, " " + name);
  document.getElementById("machines").append(label);
  machines.set(name, box);
}

function show() {
  const shown = heads.map((head) => machines.get(head.dataset.machine).checked);
  for (const row of table.rows) {
    const cells = [...row.cells].slice(1);
    cells.forEach((cell, at) => { cell.hidden = !shown[at]; });
    if (row.dataset.name === undefined) continue;
    const visible = cells.filter((cell, at) => shown[at]);
    const passed = visible.every((cell) => cell.className === "pass");
    row.hidden = !row.dataset.name.includes(word.value.trim()) || (odd.checked && passed);
  }
}

// A title is out of reach without a mouse: a touch on a skipped cell says it.
table.addEventListener("click", (event) => {
  const cell = event.target.closest("td.skip");
  if (cell && matchMedia("(hover: none)").matches) alert(cell.title);
});

const filters = document.getElementById("filters");
filters.hidden = false;
filters.addEventListener("input", show);
filters.addEventListener("submit", (event) => event.preventDefault());
