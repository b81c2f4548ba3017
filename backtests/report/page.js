// What a report's page does: draws charts when they come into view, keeps their time axes together, switches the
// theme, sorts tables, shows what was chosen, and prepares for print. No code is made from text, nothing is fetched.
"use strict";
(() => {
  const settings = JSON.parse(document.getElementById("page-settings").textContent);
  const root = document.documentElement;
  const toDark = new Map(Object.entries(settings.dark));
  const toLight = new Map(Object.entries(settings.dark).map(([light, dark]) => [dark, light]));
  const isTouch = matchMedia("(pointer: coarse)").matches;
  const drawn = new Map(); // key of a chart -> {key, view, plot, clock, element, labels}
  const drawing = new Map(); // key of a chart -> promise
  const listeners = []; // called with (key, chart) when a chart has been drawn

  // --- time

  const pad = (number) => String(number).padStart(2, "0");
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const DAY_MS = 86400000;

  /** Index of the last of ascending values that is not above one. */
  function lastUpTo(values, value) {
    let low = 0, high = values.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (values[middle] <= value) low = middle; else high = middle - 1;
    }
    return low;
  }

  function between(from, to, value) {
    const k = Math.min(lastUpTo(from, value), from.length - 2);
    const span = from[k + 1] - from[k];
    const part = span > 0 ? Math.min(1, Math.max(0, (value - from[k]) / span)) : 0;
    return to[k] + part * (to[k + 1] - to[k]);
  }

  const wallAt = (clock, x) => between(clock.x, clock.wall, x); // ms of the zone's clock, as if it were UTC

  /** Place of a wall time; a time within a pause is put where trading goes on. */
  function placeOf(clock, wall) {
    const k = Math.min(lastUpTo(clock.wall, wall), clock.wall.length - 2);
    if (clock.gap[k] && wall > clock.wall[k]) return clock.x[k + 1];
    return between(clock.wall, clock.x, wall);
  }

  const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800];

  /** Ticks within days: wall times that are whole steps, in each stretch of trading that is seen. */
  function ticksWithinDays(clock, from, to, most) {
    const step = STEPS_S.find((each) => (to - from) / each <= most);
    if (step === undefined) return null;
    const found = [];
    for (let k = lastUpTo(clock.x, from); k < clock.x.length - 1 && clock.x[k] <= to; k++) {
      if (clock.gap[k]) continue;
      const first = wallAt(clock, Math.max(from, clock.x[k])), last = wallAt(clock, Math.min(to, clock.x[k + 1]));
      for (let at = Math.ceil(first / (step * 1000)) * step * 1000; at <= last; at += step * 1000) {
        found.push({ wall: at, x: clock.x[k] + (at - clock.wall[k]) / 1000 });
        if (found.length > 3 * most) return null;
      }
    }
    const clockText = (d) => `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}${step < 60 ? `:${pad(d.getUTCSeconds())}` : ""}`;
    const dayText = (d) => `${DAYS[d.getUTCDay()]} ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`;
    return { found: step < 3600 ? found : [...found, ...openings(clock, from, to)].sort((a, b) => a.x - b.x), text: clockText, context: dayText };
  }

  /** The first trading time of each day but the first that is seen: where a day begins is read before its hours. */
  function openings(clock, from, to) {
    const found = [];
    for (let k = 0; k < clock.x.length - 1; k++) {
      const isNewDay = k === 0 || Math.floor(clock.wall[k] / DAY_MS) > Math.floor(clock.wall[k - 1] / DAY_MS);
      if (!clock.gap[k] && isNewDay && clock.x[k] >= from && clock.x[k] <= to) found.push({ wall: clock.wall[k], x: clock.x[k], isFirst: true });
    }
    return found;
  }

  const CALENDAR_STEPS = [
    ["day", 1], ["day", 2], ["day", 3], ["week", 1], ["week", 2], ["month", 1], ["month", 2], ["month", 3], ["month", 6], ["year", 1], ["year", 2], ["year", 5], ["year", 10],
  ];

  /** Ticks at the first trading time of days, weeks, months or years. */
  function ticksOfCalendar(clock, from, to, most) {
    const first = new Date(wallAt(clock, from)), last = wallAt(clock, to);
    for (const [unit, count] of CALENDAR_STEPS) {
      const at = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), first.getUTCDate()));
      if (unit === "week") at.setUTCDate(at.getUTCDate() - ((at.getUTCDay() + 6) % 7));
      if (unit === "month") at.setUTCFullYear(at.getUTCFullYear(), at.getUTCMonth() - (at.getUTCMonth() % count), 1);
      if (unit === "year") at.setUTCFullYear(at.getUTCFullYear() - (at.getUTCFullYear() % count), 0, 1);
      const found = [];
      while (at.getTime() <= last && found.length <= most + 2) {
        const x = placeOf(clock, at.getTime());
        if (x >= from && x <= to && (!found.length || x > found[found.length - 1].x)) found.push({ wall: wallAt(clock, x), x });
        if (unit === "day") at.setUTCDate(at.getUTCDate() + count);
        if (unit === "week") at.setUTCDate(at.getUTCDate() + 7 * count);
        if (unit === "month") at.setUTCMonth(at.getUTCMonth() + count);
        if (unit === "year") at.setUTCFullYear(at.getUTCFullYear() + count);
      }
      if (found.length > most && unit + count !== "year10") continue;
      const isByYear = unit === "year";
      const isByMonth = unit === "month";
      return {
        found,
        text: (d) => (isByYear ? String(d.getUTCFullYear()) : isByMonth ? MONTHS[d.getUTCMonth()] : `${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]}`),
        context: (d) => (isByYear ? "" : String(d.getUTCFullYear())),
      };
    }
    return null;
  }

  /** Set the ticks of a chart's time axis for what it shows. The second line of a label says what has changed. */
  function setTicks(chart) {
    const { clock, plot, element } = chart;
    const { start, end } = plot.x_range;
    const room = Math.max(element.clientWidth - plot.min_border_left - plot.min_border_right, 100);
    const most = Math.max(2, Math.floor(room / 84));
    const ticks = ticksWithinDays(clock, start, end, most) ?? ticksOfCalendar(clock, start, end, most);
    if (ticks === null) return;
    const apart = (58 / room) * (end - start);
    const labels = new Map(), places = [];
    let before = null;
    const firsts = ticks.found.filter((each) => each.isFirst);
    for (const { wall, x, isFirst } of ticks.found) {
      if (places.length && x - places[places.length - 1] < apart) continue;
      if (!isFirst && firsts.some((each) => Math.abs(each.x - x) < apart)) continue;
      const date = new Date(wall), context = ticks.context(date);
      labels.set(x, context !== before && context ? `${ticks.text(date)}\n${context}` : ticks.text(date));
      before = context;
      places.push(x);
    }
    const [axis] = plot.below;
    chart.labels = labels;
    // Not by major_label_overrides: BokehJS keeps the views of every label that was ever overridden.
    axis.formatter.doFormat = (shown) => shown.map((x) => labels.get(x) ?? "");
    axis.ticker.ticks = places;
  }

  /** Labels of an axis of numbers, all with the decimals that the step between them needs, and no fewer than least. */
  function numberTexts(shown, least) {
    const steps = shown.slice(1).map((each, k) => Math.abs(each - shown[k])).filter((each) => each > 0);
    const step = Math.min(...steps, shown.length ? Math.abs(shown[0]) || 1 : 1);
    let digits = least;
    while (digits < 8 && Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6 * step * 10 ** digits) digits++;
    const text = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    return shown.map((each) => text.format(Math.abs(each) < step / 2 ? 0 : each));
  }

  const column = (source, name) => (source.data instanceof Map ? source.data.get(name) : source.data[name]);

  /** Fit the value axis to what the lines and marks of a chart do within the time that is seen. */
  function fitValues(chart) {
    const { start, end } = chart.plot.x_range;
    let low = Infinity, high = -Infinity;
    for (const { glyph, data_source: source, visible } of chart.plot.renderers) {
      const name = (glyph.y ?? glyph.y2)?.field, x = column(source, "x"), y = name && column(source, name);
      if (!visible || !x || !y || !x.length) continue;
      // A line goes on to the points beside the edges; a mark there is not seen.
      const beside = glyph.type === "Scatter" ? 0 : 1;
      for (let k = 0; k < x.length; k++) {
        if ((x[Math.min(k + beside, x.length - 1)] < start) || (x[Math.max(k - beside, 0)] > end) || !(Math.abs(y[k]) < Infinity)) continue;
        if (y[k] < low) low = y[k];
        if (y[k] > high) high = y[k];
      }
    }
    if (!(low <= high)) return;
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    chart.plot.y_range.setv({ start: low - room, end: high + room });
  }

  function timeText(wall) {
    const d = new Date(wall);
    return `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`;
  }

  // --- charts

  const isDark = () => root.dataset.theme === "dark" || (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

  /** A document with the colours of the other theme, before it is drawn. */
  function recoloured(value, colours) {
    if (typeof value === "string") return colours.get(value) ?? value;
    if (Array.isArray(value)) return value.map((each) => recoloured(each, colours));
    if (value === null || typeof value !== "object" || value.type === "map" || value.type === "bytes") return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, recoloured(each, colours)]));
  }

  /** Change the colours of a chart that is drawn: every property of its models whose name ends in color. */
  function recolour(chart, colours) {
    for (const model of chart.plot.document._all_models.values()) {
      const changed = {};
      for (const property of model) {
        if (!property.attr.endsWith("color")) continue;
        const value = model[property.attr];
        const given = value !== null && typeof value === "object" ? value.value : value;
        if (typeof given === "string" && colours.has(given)) {
          const colour = colours.get(given);
          changed[property.attr] = given === value ? colour : { value: colour };
        }
      }
      if (Object.keys(changed).length) model.setv(changed);
    }
  }

  function draw(key) {
    if (!drawing.has(key)) drawing.set(key, drawNow(key));
    return drawing.get(key);
  }

  async function drawNow(key) {
    const element = document.getElementById(`plot-${key}`);
    const data = JSON.parse(document.getElementById(`data-${key}`).textContent);
    const wasDark = isDark();
    const doc = wasDark ? recoloured(data.doc, toDark) : data.doc;
    const [model] = doc.roots;
    const attributes = model.attributes;
    attributes.height = element.clientHeight || attributes.height;
    if (element.clientWidth < 600) attributes.min_border_left = 60;
    if (isTouch) Object.assign(attributes.toolbar.attributes, { active_drag: null, active_scroll: null });
    const clock = data.clock ? settings.clocks[data.clock] : null;
    await Bokeh.embed.embed_item({ doc, root_id: model.id, target_id: element.id });
    const view = Bokeh.index[model.id];
    const chart = { key, view, plot: view.model, clock, element };
    const leader = clock && [...drawn.values()].find((each) => each.clock === clock);
    drawn.set(key, chart);
    // Theme and time may have been changed while it was drawn.
    if (isDark() !== wasDark) recolour(chart, wasDark ? toLight : toDark);
    if (leader) chart.plot.x_range.setv({ start: leader.plot.x_range.start, end: leader.plot.x_range.end });
    if (clock) {
      for (const source of chart.plot.document._all_models.values()) {
        if (source.type === "ColumnDataSource" && column(source, "x")) addTimes(source, clock);
      }
      setTicks(chart);
      fitValues(chart);
      chart.plot.x_range.change.connect(() => follow(chart));
    }
    for (const axis of [...view.model.left, ...(clock ? [] : view.model.below)]) {
      const least = axis.formatter.format?.includes("0.00") ? 2 : 0; // as prices have
      axis.formatter.doFormat = (shown) => numberTexts(shown, least);
    }
    dress(view);
    element.dataset.drawn = "true";
    for (const each of listeners) each(key, chart);
    return chart;
  }

  // Variables of the page reach into the shadow roots that BokehJS draws in, so a tooltip follows the theme.
  const TOOLTIP = `:host { --tooltip-color: var(--surface); --tooltip-text: var(--ink); --tooltip-border: var(--line);
      border-radius: 7px; padding: 7px 10px; opacity: 1; box-shadow: 0 3px 14px rgb(0 0 0 / 0.14); }
    .bk-tooltip-row-label { color: var(--muted); text-align: left; padding-right: 10px; }
    .bk-tooltip-row-value { font-variant-numeric: tabular-nums; }`;

  /** What BokehJS has no properties for: the look of tooltips, and one stop for the tab key instead of two. */
  function dress(view) {
    view.canvas_view.events_el.tabIndex = -1;
    view.canvas_view.events_el.style.outline = "none";
    for (const tool of view.tool_views.values()) {
      for (const tooltip of tool.ttmodels?.values() ?? []) tooltip.stylesheets = [TOOLTIP];
    }
  }

  /** The column that hovers show as the time, from the places on the axis. */
  function addTimes(source, clock) {
    const times = Float64Array.from(column(source, "x"), (x) => wallAt(clock, x));
    if (source.data instanceof Map) source.data.set("t", times); else source.data.t = times;
  }

  let isFollowing = false;

  /** Make all charts of a clock show what one of them shows now. */
  function follow(leader) {
    if (isFollowing) return;
    isFollowing = true;
    const { start, end } = leader.plot.x_range;
    for (const chart of drawn.values()) {
      if (chart.clock !== leader.clock) continue;
      if (chart !== leader) chart.plot.x_range.setv({ start, end });
      setTicks(chart);
      // Later, since a drag sets the value axis of its own chart after the time axis.
      queueMicrotask(() => fitValues(chart));
    }
    isFollowing = false;
    const { clock } = leader;
    const whole = start <= clock.x[0] && end >= clock.x[clock.x.length - 1];
    const text = whole ? "" : `${timeText(wallAt(clock, start))} to ${timeText(wallAt(clock, end))}`;
    for (const output of document.querySelectorAll("[data-shown]")) output.textContent = text;
  }

  /** Zoom or move: how is in, out, left, right or all. */
  function zoom(chart, how) {
    const { clock, plot } = chart;
    const whole = clock.x[clock.x.length - 1];
    let { start, end } = plot.x_range;
    const width = end - start, middle = (start + end) / 2;
    if (how === "all") [start, end] = [0, whole];
    if (how === "in") [start, end] = [middle - width / 4, middle + width / 4];
    if (how === "out") [start, end] = [middle - width, middle + width];
    if (how === "left") [start, end] = [start - width / 4, end - width / 4];
    if (how === "right") [start, end] = [start + width / 4, end + width / 4];
    const length = Math.min(Math.max(end - start, whole / 2000), whole);
    start = Math.min(Math.max(start, 0), whole - length);
    plot.x_range.setv({ start, end: start + length });
  }

  const firstTimed = () => [...drawn.values()].find((each) => each.clock);

  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => { const chart = firstTimed(); if (chart) zoom(chart, button.dataset.zoom); });
  }

  const KEYS = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", "0": "all", Home: "all" };
  for (const element of document.querySelectorAll(".plot")) {
    const chartOf = () => drawn.get(element.id.slice("plot-".length));
    element.addEventListener("keydown", (event) => {
      const chart = chartOf();
      if (!chart?.clock || !(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      zoom(chart, KEYS[event.key]);
    });
    element.addEventListener("dblclick", () => { const chart = chartOf(); if (chart?.clock) zoom(chart, "all"); });
  }

  // Charts are drawn when they come near the screen, the others one by one while nothing else is to be done.
  const isShown = (figure) => !figure.closest("[hidden]");
  const figures = [...document.querySelectorAll("[data-chart]")];
  const nearby = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target.dataset.chart);
  }, { rootMargin: "300px" });
  // Bokeh comes after this script, and has been read when the document is complete.
  addEventListener("DOMContentLoaded", () => { for (const figure of figures) nearby.observe(figure); });
  // With a limit: a browser that paints nothing may never call itself idle.
  const whenIdle = (task) => (window.requestIdleCallback ? requestIdleCallback(task, { timeout: 200 }) : setTimeout(task, 50));
  function drawRest() {
    const next = figures.find((each) => isShown(each) && !drawing.has(each.dataset.chart));
    if (next) whenIdle(() => draw(next.dataset.chart).finally(drawRest));
    else root.dataset.ready = "true";
  }
  addEventListener("load", () => whenIdle(drawRest));

  let resized = 0;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(() => { for (const chart of drawn.values()) if (chart.clock) setTicks(chart); }, 150);
  });

  // --- theme

  const themeButton = document.getElementById("theme");
  function stored(value) {
    // A page that was opened from a file may have no storage: then the choice lasts as long as the page.
    try {
      if (value === undefined) return localStorage.getItem("papertape-theme");
      localStorage.setItem("papertape-theme", value);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
    return null;
  }
  function showTheme() {
    themeButton.setAttribute("aria-pressed", String(isDark()));
    themeButton.textContent = isDark() ? "Light" : "Dark";
  }
  function setTheme(theme) {
    const wasDark = isDark();
    if (theme) root.dataset.theme = theme;
    if (isDark() !== wasDark) for (const chart of drawn.values()) recolour(chart, wasDark ? toLight : toDark);
    showTheme();
  }
  const kept = stored();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  showTheme();
  themeButton.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    stored(theme);
    setTheme(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
    if (root.dataset.theme) return;
    for (const chart of drawn.values()) recolour(chart, event.matches ? toDark : toLight);
    showTheme();
  });

  // --- print: a picture of each chart, as wide as the paper

  function beforePrint() {
    for (const chart of drawn.values()) {
      const { canvas } = chart.view.export("auto", true);
      canvas.className = isDark() ? "print-only of-dark" : "print-only";
      canvas.removeAttribute("style");
      chart.element.append(canvas);
    }
  }
  function afterPrint() {
    for (const picture of document.querySelectorAll(".plot > .print-only")) picture.remove();
  }
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);

  // From the button there is time to draw everything light and as narrow as the paper first.
  document.getElementById("print").addEventListener("click", async () => {
    const wasDark = isDark();
    root.classList.add("narrow");
    if (wasDark) setTheme("light");
    await Promise.all(figures.filter(isShown).map((each) => draw(each.dataset.chart)));
    await new Promise((resolve) => setTimeout(resolve, 700));
    print();
    root.classList.remove("narrow");
    if (wasDark) setTheme("dark");
  });

  // --- tables: rows by the ranks of a column's cells; what is unknown stays last

  for (const table of document.querySelectorAll("table[data-table]")) {
    const ranks = settings.ranks[table.dataset.table];
    if (!ranks) continue;
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const given = head.getAttribute("aria-sort");
        // Numbers are most often asked for from the largest on.
        const up = given ? given === "descending" : head.classList.contains("l");
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const order = rows.map((_, k) => k).sort((a, b) => {
          const [p, q] = [ranks[column][a], ranks[column][b]];
          if (p < 0 || q < 0) return (p < 0) - (q < 0) || a - b;
          return (up ? p - q : q - p) || a - b;
        });
        body.append(...order.map((k) => rows[k]));
      });
    });
  }

  // --- choosers

  for (const chooser of document.querySelectorAll("[data-chooser]")) {
    chooser.addEventListener("change", () => {
      for (const panel of document.querySelectorAll("[data-panel]")) {
        if (panel.dataset.panel === chooser.dataset.chooser) panel.hidden = panel.dataset.choice !== chooser.value;
      }
      for (const figure of figures) if (isShown(figure)) draw(figure.dataset.chart);
    });
  }

  // --- the meaning of a term, where there is room for it

  function placeTip(term) {
    const tip = term.querySelector(".tip"), box = term.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(12, Math.min(box.left, innerWidth - width - 12))}px`;
    tip.style.top = `${box.bottom + height + 8 > innerHeight ? box.top - height - 6 : box.bottom + 6}px`;
  }
  for (const term of document.querySelectorAll(".term")) {
    for (const event of ["mouseenter", "focus"]) term.addEventListener(event, () => placeTip(term));
    term.addEventListener("keydown", (event) => { if (event.key === "Escape") term.blur(); });
  }

  // For the script of a page that has more to do, such as a comparison.
  window.papertape = { draw, drawn, zoom, fitValues, wallAt, isDark, onDrawn: (listener) => listeners.push(listener) };
})();
