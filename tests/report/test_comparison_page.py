"""A comparison's page as a browser shows it: it sorts, draws the curves of the runs that are chosen, and asks nobody."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from backtests.compare.comparison import make_comparison
from backtests.compare.page import comparison_html
from backtests.compare.pairing import pair_runs
from papertape.core.record import RunRecord

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    # Playwright leaves its loop to the collector when a test process ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>@{y}{safe}"
BUCKETS = 20_000


def varied(record: RunRecord, count: int) -> list[RunRecord]:
    """Runs like one of a year, each with an equity of its own in as many buckets as a run keeps at most."""
    records = []
    for number in range(count):
        random = np.random.default_rng(number)
        last = 100_000.0 * np.exp(np.cumsum(random.normal(number * 2e-7, 3e-4, BUCKETS)))
        ts = np.linspace(record.start, record.end, BUCKETS).astype(np.int64)
        days = record.daily["ts"]
        daily = {**record.daily, "equity": last[np.minimum(np.searchsorted(ts, days), BUCKETS - 1)]}
        metrics = {**record.metrics, "total_return": float(last[-1] / 1e5 - 1.0), "sharpe": float(random.normal())}
        settings = {**record.settings, "parameters": {"fast": number, "slow": 100 - number}}
        equity = {"ts": ts, "last": last, "low": last * 0.999, "high": last * 1.001}
        records.append(
            replace(record, equity=equity, daily=daily, metrics=metrics, settings=settings, starting_equity=1e5)
        )
    return records


@pytest.fixture(scope="module")
def folder(tmp_path_factory, year_record, short_record):
    """Pages of 12 runs, of 200, of two that are paired, and of runs with hostile names."""
    folder = tmp_path_factory.mktemp("pages")
    many = varied(year_record, 200)
    slipped = replace(short_record, settings={**short_record.settings, "slippage": "3bp"}, strategy=HOSTILE)
    hostile = replace(short_record, strategy=HOSTILE)
    pages = {
        "twelve": make_comparison(many[:12], [f"run-{k}" for k in range(12)], 3),
        "many": make_comparison(many, [f"run-{k}" for k in range(200)]),
        "paired": make_comparison(
            [short_record, replace(short_record)], ["a-1", "b-2"], pairing=pair_runs(short_record, short_record)
        ),
        "hostile": make_comparison(
            [hostile, slipped],
            [f"{HOSTILE}-<b>1</b>", f"{HOSTILE}-<b>2</b>"],
            pairing=pair_runs(hostile, slipped, (HOSTILE, HOSTILE + "2")),
        ),
    }
    for name, comparison in pages.items():
        (folder / f"{name}.html").write_text(comparison_html(comparison), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        # Without a sandbox of its own where tests run as root, in a container.
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if is_root else [])
        yield found
        found.close()


@pytest.fixture
def opened(browser, folder):
    """A function that opens a page and waits until all of it is drawn; complaints and requests fail the test."""
    contexts, heard = [], []

    def opener(name, *, width=1300, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: heard.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url) if not request.url.startswith("file:") else None)
        page.goto((folder / f"{name}.html").as_uri())
        page.wait_for_selector("html[data-ready=true]")
        return page

    yield opener
    for context in contexts:
        context.close()
    assert heard == []


def overview(page):
    """The text of each row of the list of runs, cell by cell."""
    script = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    return page.eval_on_selector_all('table[data-table="overview"] tbody tr', script)


def lines(page, key):
    """Name of the run and number of points of each line of a chart that has a curve."""
    script = """key => papertape.drawn.get(key).plot.renderers.filter(r => r.name?.startsWith("slot-")).map(r => {
        const get = name => r.data_source.data instanceof Map ? r.data_source.data.get(name) : r.data_source.data[name];
        return [get("run")[0] ?? "", get("x").length];
    }).filter(([, points]) => points)"""
    return page.evaluate(script, key)


def inked(page, key):
    """How many pixels of a chart's canvas are of a strong colour, as lines are."""
    script = """key => {
        const view = papertape.drawn.get(key).view, canvas = view.export("auto", true).canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let k = 0; k < data.length; k += 4) {
            const high = Math.max(data[k], data[k + 1], data[k + 2]), low = Math.min(data[k], data[k + 1], data[k + 2]);
            if (data[k + 3] > 128 && high - low > 60) count++;
        }
        return count;
    }"""
    return page.evaluate(script, key)


def test_the_list_sorts_by_a_column_and_back(opened):
    page = opened("twelve")
    column = page.locator('table[data-table="overview"] th', has_text="Sharpe").first
    place = column.evaluate("cell => cell.cellIndex")
    column.locator("button").click()
    down = [float(row[place].replace("★", "")) for row in overview(page)]
    assert down == sorted(down, reverse=True)
    assert len(set(down)) == 12
    column.locator("button").click()
    assert [float(row[place].replace("★", "")) for row in overview(page)] == down[::-1]


def test_the_base_and_the_best_are_drawn_first(opened):
    page = opened("many")
    drawn = lines(page, "growth")
    assert len(drawn) == 5
    assert drawn[0][0] == "0 (base)"
    assert all(points > 100 for _, points in drawn)
    assert lines(page, "depth") == drawn
    assert inked(page, "growth") > 1_000


def test_the_curve_of_a_run_that_is_chosen_appears_and_goes_again(opened):
    page = opened("many")
    page.locator("#choose-none").click()
    assert lines(page, "growth") == []
    bare = inked(page, "growth")
    box = page.get_by_role("checkbox", name="137", exact=True)
    box.check()
    assert [name for name, _ in lines(page, "growth")] == ["137"]
    assert [name for name, _ in lines(page, "depth")] == ["137"]
    assert inked(page, "growth") > bare + 500
    assert page.locator("#chosen").inner_text().split("\n") == ["137", "fast 137, slow -37"]
    box.uncheck()
    assert lines(page, "growth") == []


def test_a_box_is_of_its_run_after_sorting(opened):
    page = opened("twelve")
    page.locator("#choose-none").click()
    page.locator('table[data-table="overview"] th button', has_text="Sharpe").first.click()
    page.locator('table[data-table="overview"] tbody tr').first.get_by_role("checkbox").check()
    first = overview(page)[0][0]
    assert [name for name, _ in lines(page, "growth")] == [first]
    page.locator("#choose-top").click()
    assert {name for name, _ in lines(page, "growth")} == {row[0] for row in overview(page)[:5]}


def test_no_more_runs_can_be_chosen_than_there_are_colours(opened):
    page = opened("twelve")
    boxes = page.get_by_role("checkbox")
    for k in range(12):
        if not boxes.nth(k).is_checked() and boxes.nth(k).is_enabled():
            boxes.nth(k).check()
    assert len(lines(page, "growth")) == 10
    assert sum(boxes.nth(k).is_disabled() for k in range(12)) == 2


def test_the_value_axis_fits_the_curves_that_are_chosen(opened):
    page = opened("many")
    page.locator("#choose-none").click()
    page.get_by_role("checkbox", name="7", exact=True).check()
    script = """() => {
        const { plot } = papertape.drawn.get("growth"), source = plot.renderers.find(r => r.name === "slot-0").data_source;
        const y = [...(source.data instanceof Map ? source.data.get("y") : source.data.y)];
        return [plot.y_range.start, plot.y_range.end, Math.min(...y), Math.max(...y)];
    }"""
    start, end, low, high = page.evaluate(script)
    assert start < min(low, 0.0)
    assert end > max(high, 0.0)
    assert end - start < 1.3 * (max(high, 0.0) - min(low, 0.0))


def test_zooming_one_chart_zooms_the_other(opened):
    page = opened("twelve")
    page.locator('[data-zoom="in"]').click()
    ranges = page.evaluate("[...papertape.drawn.values()].map(c => [c.plot.x_range.start, c.plot.x_range.end])")
    assert ranges[0] == ranges[1]
    assert ranges[0][0] > 0.0


def test_a_hostile_name_is_text_wherever_it_stands(opened):
    page = opened("hostile")
    everything = """() => {
        const found = [];
        const walk = root => { for (const each of root.querySelectorAll("*")) { found.push(each); if (each.shadowRoot) walk(each.shadowRoot); } };
        walk(document);
        return [found.filter(each => ["IMG", "B"].includes(each.tagName)).length, found.filter(each => each.classList.contains("bk-tooltip-content")).map(each => each.innerText)];
    }"""
    on_a_line = """() => {
        const chart = papertape.drawn.get("growth"), line = chart.plot.renderers.find(each => each.name === "slot-0");
        const get = name => line.data_source.data instanceof Map ? line.data_source.data.get(name) : line.data_source.data[name];
        const k = Math.floor(get("x").length / 2), { x_scale, y_scale } = chart.view.views.find_one(line).coordinates;
        const box = chart.element.getBoundingClientRect();
        return [box.left + x_scale.compute(get("x")[k]), box.top + y_scale.compute(get("y")[k])];
    }"""
    page.locator("#plot-growth").scroll_into_view_if_needed()
    page.mouse.move(*page.evaluate(on_a_line))
    page.wait_for_timeout(300)
    unsafe, texts = page.evaluate(everything)
    assert unsafe == 0
    assert "<b>1</b>" in " ".join(texts), "no hover showed a name"
    assert page.title().startswith("2 runs of <img")
    assert "<b>1</b> (base)" in page.locator("#chosen").inner_text()
    assert "<img src=x onerror" in page.locator("header").inner_text()


def test_two_runs_of_a_strategy_show_their_causes(opened):
    page = opened("paired")
    rows = page.locator('table[data-table="causes"] tbody tr')
    assert [text.split("\t")[0] for text in rows.all_inner_texts()][-1] == "difference"
    assert page.get_by_text("No fill differs.").count() == 1


def test_a_phone_in_the_dark_shows_everything_without_scrolling_sideways(opened):
    page = opened("many", width=390, scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert inked(page, "growth") > 300


def test_two_hundred_runs_are_a_file_of_at_most_five_megabytes(folder):
    assert (folder / "many.html").stat().st_size < 5_000_000
    assert (folder / "twelve.html").stat().st_size < 2_500_000


def test_equal_comparisons_give_equal_pages(folder, year_record):
    records = varied(year_record, 12)
    again = comparison_html(make_comparison(records, [f"run-{k}" for k in range(12)], 3))
    assert again == (folder / "twelve.html").read_text(encoding="utf-8")
