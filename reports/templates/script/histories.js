// A slider and the pointer read a history's charts record by record; the words are those of its table.
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";

  function make(parent, name, properties) {
    return parent.appendChild(Object.assign(document.createElement(name), properties));
  }

  // A chart's corners by the row of the table that they stand for, as [x, y] in percent.
  function cornersOf(plot) {
    const points = plot.querySelector(".values").getAttribute("points").split(" ").map((pair) => pair.split(","));
    return new Map(plot.dataset.places.split(" ").map((row, at) => [Number(row), points[at]]));
  }

  function cursorOf(plot) {
    const svg = plot.querySelector("svg");
    const line = svg.appendChild(document.createElementNS(SVG, "line"));
    const dot = svg.appendChild(document.createElementNS(SVG, "circle"));
    line.setAttribute("class", "cursor");
    line.setAttribute("y2", "100%");
    dot.setAttribute("class", "cursor-dot");
    dot.setAttribute("r", "4.5");
    function show(on) {
      for (const mark of [line, dot]) mark.style.display = on ? "" : "none";
    }
    show(false);
    return (corner) => {
      show(corner);
      if (!corner) return;
      line.setAttribute("x1", `${corner[0]}%`);
      line.setAttribute("x2", `${corner[0]}%`);
      dot.setAttribute("cx", `${corner[0]}%`);
      dot.setAttribute("cy", `${corner[1]}%`);
    };
  }

  function read(history, number) {
    const table = history.querySelector("table.records");
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const rows = [...table.tBodies[0].rows];
    const plots = [...history.querySelectorAll(".trend")].map((plot) => ({
      plot, corners: cornersOf(plot), move: cursorOf(plot),
    }));
    const reader = document.createElement("div");
    reader.className = "reader";
    history.insertBefore(reader, history.querySelector("details"));
    const id = `history-reader-${number}`;
    make(reader, "label", { htmlFor: id, textContent: "Read record" });
    const slider = make(reader, "input", { type: "range", id, min: "0", max: String(rows.length - 1) });
    const words = make(reader, "output", { className: "note" });
    words.htmlFor.add(id);

    function say(row) {
      const cells = [...rows[row].cells].map((cell) => cell.textContent);
      const values = cells.slice(2).map((value, at) => value && `${names[at + 2]} ${value}`).filter(Boolean);
      words.textContent = [cells[0], cells[1] && `commit ${cells[1]}`, ...values].filter(Boolean).join(", ");
      slider.setAttribute("aria-valuetext", words.textContent);
    }

    function show(row) {
      say(row);
      for (const { corners, move } of plots) move(corners.get(row));
    }

    slider.addEventListener("input", () => show(Number(slider.value)));
    for (const { plot, corners } of plots) {
      plot.addEventListener("pointermove", (event) => {
        const box = plot.querySelector("svg").getBoundingClientRect();
        const x = (100 * (event.clientX - box.left)) / box.width;
        const far = ([, corner]) => Math.abs(corner[0] - x);
        const [row] = [...corners].reduce((best, one) => (far(one) < far(best) ? one : best));
        slider.value = String(row);
        show(row);
      });
    }
    slider.value = slider.max;
    say(rows.length - 1);
  }

  document.querySelectorAll("[data-history]").forEach(read);
})();
