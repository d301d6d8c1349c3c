// A choice above the matrix says which figure its cells show; their texts and numbers are in the cells.
(() => {
  "use strict";

  function show(cells, at) {
    for (const cell of cells) {
      const text = cell.querySelector("span");
      text.textContent = cell.dataset.texts.split("|")[at];
      text.classList.toggle("leads", cell.dataset.best.split("|")[at] === "1");
      cell.dataset.value = cell.dataset.values.split("|")[at];
    }
  }

  function start(box) {
    const table = box.parentElement.querySelector("table.matrix");
    const figure = box.parentElement.querySelector("[data-figure]");
    const cells = [...table.querySelectorAll("td[data-texts]")];
    const [label, select] = [document.createElement("label"), document.createElement("select")];
    for (const name of box.dataset.figures.split("|")) select.append(new Option(name));
    select.addEventListener("change", () => {
      show(cells, select.selectedIndex);
      figure.textContent = select.value;
      for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
    });
    label.append("Show ", select);
    box.append(label);
    select.selectedIndex = 0;
    show(cells, 0);
  }

  document.querySelectorAll("[data-figures]").forEach(start);
})();
