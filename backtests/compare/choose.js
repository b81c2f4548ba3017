// What a comparison's page does beyond a report's: the curves of the runs that are chosen in the list are drawn.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("compare-curves").textContent);
  const settings = JSON.parse(document.getElementById("page-settings").textContent);
  const { drawn, fitValues, onDrawn, wallAt } = window.papertape;
  const table = document.querySelector('table[data-table="overview"]');
  const said = document.getElementById("choosing-said");
  const legend = document.getElementById("chosen");
  const slots = new Array(data.roles.length).fill(null); // number of the run that has each colour
  const rows = [...table.tBodies[0].rows]; // as they came: row k is run k, however the table is sorted later
  const boxes = [], marks = [];

  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (each) => each.charCodeAt(0)).buffer);
  const decoded = new Map();

  /** The columns of a run's curves, decoded when they are first asked for. */
  function columnsOf(run) {
    if (!decoded.has(run)) {
      const { x, growth, depth } = data.runs[run];
      const places = floats(x);
      const t = Float64Array.from(places, (each) => wallAt(settings.clocks[data.clock], each));
      decoded.set(run, { x: places, t, growth: floats(growth), depth: floats(depth), run: new Array(places.length).fill(data.runs[run].label) });
    }
    return decoded.get(run);
  }

  const EMPTY = { x: new Float32Array(0), t: new Float64Array(0), growth: new Float32Array(0), depth: new Float32Array(0), run: [] };

  /** Give one chart's line of a colour the curve of the run that has it. */
  function fill(chart, slot) {
    const columns = slots[slot] === null ? EMPTY : columnsOf(slots[slot]);
    const source = chart.plot.renderers.find((each) => each.name === `slot-${slot}`).data_source;
    const given = { x: columns.x, y: columns[chart.key], t: columns.t, run: columns.run };
    source.data = source.data instanceof Map ? new Map(Object.entries(given)) : given;
  }

  const charts = () => [...drawn.values()].filter((chart) => chart.key in EMPTY);

  function show() {
    for (const chart of charts()) fitValues(chart);
    const chosen = slots.filter((each) => each !== null).length;
    said.textContent = chosen === slots.length ? `${chosen} of ${rows.length} drawn, which is all that can be told apart` : `${chosen} of ${rows.length} drawn`;
    legend.replaceChildren();
    slots.forEach((run, slot) => {
      if (run === null) return;
      const item = document.createElement("li"), mark = document.createElement("span");
      mark.className = `mark line ${data.roles[slot]}`;
      item.append(mark, data.runs[run].label);
      if (data.runs[run].set) {
        const said = document.createElement("span");
        said.className = "set";
        said.textContent = data.runs[run].set;
        item.append(said);
      }
      legend.append(item);
    });
    boxes.forEach((box, run) => {
      const slot = slots.indexOf(run);
      box.checked = slot >= 0;
      box.disabled = slot < 0 && chosen === slots.length;
      marks[run].className = slot >= 0 ? `mark line ${data.roles[slot]}` : "mark";
    });
  }

  function choose(run, wanted) {
    const slot = slots.indexOf(wanted ? null : run);
    if (slot < 0 || (wanted && slots.includes(run))) return;
    slots[slot] = wanted ? run : null;
    for (const chart of charts()) fill(chart, slot);
  }

  rows.forEach((row, run) => {
    const cell = row.cells[0], label = document.createElement("label"), box = document.createElement("input"), mark = document.createElement("span");
    box.type = "checkbox";
    label.className = "choose";
    label.append(box, mark, cell.textContent);
    cell.replaceChildren(label);
    boxes.push(box);
    marks.push(mark);
    box.addEventListener("change", () => { choose(run, box.checked); show(); });
  });

  document.getElementById("choose-top").addEventListener("click", () => {
    const top = [...table.tBodies[0].rows].slice(0, 5).map((row) => rows.indexOf(row));
    slots.forEach((run) => { if (run !== null && !top.includes(run)) choose(run, false); });
    for (const run of top) choose(run, true);
    show();
  });
  document.getElementById("choose-none").addEventListener("click", () => {
    for (const run of [...slots]) if (run !== null) choose(run, false);
    show();
  });

  onDrawn((key, chart) => {
    if (!(key in EMPTY)) return;
    slots.forEach((_, slot) => fill(chart, slot));
    fitValues(chart);
  });
  for (const run of data.chosen) choose(run, true);
  show();
})();
