// What if: the controls choose a row of the table behind the picture, and its texts become the outcome.
(() => {
  "use strict";
  const sections = [...document.querySelectorAll("[data-what-if]")];

  const rowsOf = (article) => {
    const rows = new Map();
    for (const body of article.querySelectorAll("tbody[data-precision]")) {
      const cells = [...body.querySelectorAll("tr[data-cell]")];
      rows.set(`${body.dataset.precision} ${body.dataset.checkpointing}`, cells);
    }
    return rows;
  };

  const start = (section) => {
    const trial = section.querySelector("[data-trial]");
    const form = trial.querySelector("form");
    const articles = [...section.querySelectorAll("article[data-machine]")];
    const machines = new Map(articles.map((article, place) => [String(place), rowsOf(article)]));
    const own = { precision: form.elements.precision.value, checkpointing: form.elements.checkpointing.value };
    const find = (name) => trial.querySelector(`[data-${name}]`);
    const batches = [...machines.get("0").values()][0].map((row) => row.querySelector("th").textContent);

    const state = () => ({
      machine: form.elements.machine.selectedIndex,
      batch: Number(form.elements.batch.value),
      precision: form.elements.precision.value,
      checkpointing: form.elements.checkpointing.value,
    });

    // A machine has not every precision: what it lacks cannot be chosen, and the recipe's own stands in.
    const allow = () => {
      const pairs = [...machines.get(String(state().machine)).keys()].map((key) => key.split(" "));
      limit("precision", pairs.map(([precision]) => precision));
      const chosen = form.elements.precision.value;
      limit("checkpointing", pairs.filter(([precision]) => precision === chosen).map(([, on]) => on));
    };

    const limit = (name, values) => {
      for (const radio of form.querySelectorAll(`[name="${name}"]`)) {
        radio.disabled = !values.includes(radio.value);
        if (radio.disabled && radio.checked) form.elements[name].value = values.includes(own[name]) ? own[name] : values[0];
      }
    };

    const text = (row, key, part) => row.querySelector(`[data-key="${key}"] ${part}`)?.textContent ?? "";

    const draw = (row) => {
      const [used, low, high] = row.dataset.bar.split(" ").map((value) => `${value}%`);
      const bar = find("bar");
      bar.querySelector(".used").setAttribute("width", used);
      bar.setAttribute("class", `bar-plot ${row.dataset.cell}`);
      const [line, left, right] = bar.querySelectorAll(".interval line");
      for (const [each, from, to] of [[line, low, high], [left, low, low], [right, high, high]]) {
        each.setAttribute("x1", from);
        each.setAttribute("x2", to);
      }
      bar.setAttribute("aria-label", `Predicted memory ${text(row, "memory", "span")}`);
    };

    const mark = (article, label, batch) => {
      const line = article.querySelector("line.chosen");
      if (!line) return;
      const place = line.dataset.places.split(" ")[batch];
      line.setAttribute("x1", `${place}%`);
      line.setAttribute("x2", `${place}%`);
      for (const each of article.querySelectorAll("[data-line]")) {
        each.classList.toggle("chosen", each.dataset.line === label);
        if (each.dataset.line === label) each.parentNode.append(each); // drawn last, above the others
      }
    };

    const show = () => {
      allow();
      const now = state();
      const row = machines.get(String(now.machine)).get(`${now.precision} ${now.checkpointing}`)[now.batch];
      const setting = now.checkpointing === "on" ? `${now.precision} with checkpointing` : now.precision;
      const machine = form.elements.machine.selectedOptions[0].textContent;
      find("batch").textContent = batches[now.batch];
      form.elements.batch.setAttribute("aria-valuetext", batches[now.batch]);
      find("verdict").className = `verdict ${row.dataset.cell}`;
      find("verdict").textContent = text(row, "verdict", "span").trim();
      const unknown = row.querySelector('[data-key="unknown"]')?.textContent;
      find("words").textContent = unknown ?? `batch ${batches[now.batch]}, ${setting} on ${machine}`;
      for (const figure of trial.querySelectorAll("[data-figure]")) {
        const key = figure.dataset.figure;
        figure.querySelector("dd span").textContent = text(row, key, "span");
        figure.querySelector("dd small").textContent = text(row, key, "small");
        figure.hidden = !text(row, key, "span");
      }
      find("change").textContent = row.querySelector('[data-key="change"]')?.textContent ?? "";
      find("beside").hidden = !find("change").textContent;
      find("moot").hidden = row.dataset.cell !== "does-not-fit";
      trial.querySelector(".outcome").classList.toggle("moot", !find("moot").hidden);
      draw(row);
      articles.forEach((article, place) => { article.hidden = place !== now.machine; });
      mark(articles[now.machine], row.closest("tbody").dataset.label, now.batch);
    };

    const reset = () => {
      form.elements.batch.value = section.dataset.ownBatch;
      show();
    };

    const keep = () => {
      const now = state();
      const words = new URLSearchParams({ "what-if": section.dataset.whatIf, machine: form.elements.machine.value,
        batch: batches[now.batch], precision: now.precision, checkpointing: now.checkpointing });
      history.replaceState(null, "", `#${words}`);
    };

    const read = () => {
      const words = new URLSearchParams(location.hash.slice(1));
      if (words.get("what-if") !== section.dataset.whatIf) return;
      for (const name of ["machine", "precision", "checkpointing"]) {
        const options = [...form.querySelectorAll(`[name="${name}"] option, input[name="${name}"]`)];
        if (options.some((each) => each.value === words.get(name))) form.elements[name].value = words.get(name);
      }
      const place = batches.indexOf(words.get("batch"));
      if (place >= 0) form.elements.batch.value = place;
      show();
      section.scrollIntoView();
    };

    form.addEventListener("input", () => { show(); keep(); });
    form.addEventListener("reset", () => setTimeout(() => { reset(); history.replaceState(null, "", "#what-if"); }));
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", read);
    trial.hidden = false;
    reset();
    read();
  };

  sections.forEach(start);
})();
