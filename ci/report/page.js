"use strict";
// Filters. Without this script the page is the whole table.
const table = document.getElementById("matrix");
const heads = [...table.tHead.rows[0].cells].slice(1);
const rows = [...table.rows].filter((row) => row.dataset.name !== undefined);
const [word, state, count] = ["word", "state", "count"].map((id) => document.getElementById(id));
const machines = new Map();

for (const name of new Set(heads.map((head) => head.dataset.machine))) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.defaultChecked = true;
  label.append(box, " " + name);
  document.getElementById("machines").append(label);
  machines.set(name, box);
}

// What a row must have to be shown, of the classes of its cells.
const wanted = {
  "": () => true,
  odd: (classes) => classes.some((name) => name !== "pass"),
  fail: (classes) => classes.includes("fail"),
};

function show() {
  const shown = heads.map((head) => machines.get(head.dataset.machine).checked);
  for (const row of table.rows) {
    [...row.cells].slice(1).forEach((cell, at) => { cell.hidden = !shown[at]; });
  }
  for (const row of rows) {
    const classes = [...row.cells].slice(1).filter((cell, at) => shown[at]).map((cell) => cell.className);
    row.hidden = !row.dataset.name.includes(word.value.trim()) || !wanted[state.value](classes);
  }
  const visible = rows.filter((row) => !row.hidden).length;
  count.value = visible < rows.length ? `${visible} of ${rows.length} rows` : "";
}

const filters = document.getElementById("filters");
filters.hidden = false;
filters.addEventListener("input", show);
filters.addEventListener("submit", (event) => event.preventDefault());

// A browser that goes back may have kept what was chosen. An address that names a cell is to show it, though.
window.addEventListener("pageshow", show);
window.addEventListener("hashchange", () => {
  const cell = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("td");
  if (cell?.hidden || cell?.parentElement.hidden) {
    filters.reset();
    show();
    cell.scrollIntoView();
  }
});
