// What a page can do: move the line of a before/after picture, sort a table.
// The page reads well without it.
"use strict";

function setUpSlider(frame) {
  const range = frame.querySelector("input[type=range]");
  const [left, right] = Array.from(frame.querySelectorAll(".label"), (x) => x.textContent);

  function show(percent) {
    const value = Math.min(100, Math.max(0, percent));
    frame.style.setProperty("--split", value + "%");
    range.value = String(value);
    const part = Math.round(value);
    range.setAttribute("aria-valuetext", part + "% " + left + ", " + (100 - part) + "% " + right);
  }

  function follow(event) {
    const box = frame.getBoundingClientRect();
    show((100 * (event.clientX - box.left)) / box.width);
  }

  frame.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    frame.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
  range.addEventListener("input", () => show(Number(range.value)));
  show(Number(range.value));
}

function setUpSorting(table) {
  const headings = Array.from(table.tHead.rows[0].cells);

  // Numbers by value; what has none comes last whichever way it is sorted.
  function key(row, column, isNumber) {
    const cell = row.cells[column];
    if (!isNumber) return cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }

  function compare(a, b) {
    return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  }

  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const isNumber = heading.classList.contains("number");
      const now = heading.getAttribute("aria-sort");
      const first = isNumber ? "descending" : "ascending";
      const second = isNumber ? "ascending" : "descending";
      const wanted = now === first ? second : first;
      const sign = wanted === "ascending" ? 1 : -1;
      const body = table.tBodies[0];
      const rows = Array.from(body.rows, (row) => ({ row, key: key(row, column, isNumber) }));
      rows.sort((a, b) => {
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
        return sign * compare(a.key, b.key);
      });
      body.append(...rows.map((item) => item.row));
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", wanted);
    });
  });
}

document.querySelectorAll(".frame").forEach(setUpSlider);
document.querySelectorAll("table.sort").forEach(setUpSorting);
