"""Reports as a browser shows them: Debian's Chromium, driven by Playwright; skipped with a reason where either is missing."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from backtests.report.document import report_html
from backtests.report.palette import DARK, LIGHT, Role

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    # Playwright leaves its loop to the collector when a test process ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        # Without a sandbox of its own where tests run as root, in a container.
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if is_root else [])
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, year_record, short_record, hostile_record, hostile):
    """A folder with a page for each run."""
    folder = tmp_path_factory.mktemp("pages")
    for name, record in (("year", year_record), ("short", short_record), ("hostile", hostile_record)):
        run_name = hostile if name == "hostile" else name
        (folder / f"{name}.html").write_text(report_html(record, run_name=run_name), encoding="utf-8")
    return folder


@pytest.fixture
def opened(browser, folder):
    """A function that opens a page and waits until all of it is drawn; complaints and requests fail the test."""
    contexts, heard = [], []

    def opener(name, *, width=1200, scheme="light", touch=False):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch)
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


def eventually(page, holds):
    """Whether something comes to hold while the page goes on: what is drawn follows what was done a little later."""
    for _ in range(200):
        if holds():
            return True
        page.wait_for_timeout(50)
    return False


def ranges(page):
    """(start, end) of the time axes of all charts that are drawn."""
    script = "[...papertape.drawn.values()].filter(c => c.clock).map(c => [c.plot.x_range.start, c.plot.x_range.end])"
    return np.array(page.evaluate(script))


def middle_of(page, key):
    page.locator(f"#plot-{key}").scroll_into_view_if_needed()
    box = page.locator(f"#plot-{key}").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def colours_of(page, key):
    """The colours of a chart's canvas, each as #rrggbb, where they are opaque."""
    script = """key => {
        const canvas = papertape.drawn.get(key).view.export('auto', true).canvas;
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const found = new Set();
        for (let k = 0; k < data.length; k += 4) {
            if (data[k + 3] === 255) found.add('#' + [0, 1, 2].map(c => data[k + c].toString(16).padStart(2, '0')).join(''));
        }
        return [...found];
    }"""
    return set(page.evaluate(script, key))


@pytest.mark.parametrize(("name", "scheme"), [("year", "light"), ("short", "dark"), ("hostile", "light")])
def test_every_chart_is_drawn_in_the_colours_of_its_theme(opened, name, scheme):
    page = opened(name, scheme=scheme)
    keys = page.evaluate("[...papertape.drawn.keys()]")
    assert {"equity", "underwater", "exposure", "price-0", "position-0", "slippage"} <= set(keys)
    colours, others = (LIGHT, DARK) if scheme == "light" else (DARK, LIGHT)
    for key in keys:
        found = colours_of(page, key)
        assert len(found) > 3, key
        assert not found & {others[role] for role in (Role.MAIN, Role.LOSS, Role.GAIN)}, key
    assert colours[Role.MAIN] in colours_of(page, "equity")


def test_the_switch_changes_page_and_charts_and_back(opened):
    page = opened("year")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    before = colours_of(page, "equity")
    page.click("#theme")
    assert page.evaluate(ground) != light
    assert eventually(page, lambda: DARK[Role.MAIN] in colours_of(page, "equity"))
    assert LIGHT[Role.MAIN] not in colours_of(page, "equity")
    assert page.get_attribute("#theme", "aria-pressed") == "true"
    page.click("#theme")
    assert page.evaluate(ground) == light
    assert LIGHT[Role.MAIN] in before
    assert eventually(page, lambda: LIGHT[Role.MAIN] in colours_of(page, "equity"))


def test_dragging_zooms_all_charts_to_the_same_time_and_a_double_click_undoes_it(opened):
    page = opened("year")
    whole = ranges(page)
    assert (whole == whole[0]).all()
    x, y = middle_of(page, "equity")
    page.mouse.move(x - 100, y)
    page.mouse.down()
    page.mouse.move(x, y, steps=5)
    page.mouse.up()
    assert eventually(page, lambda: (ranges(page) != whole).any())
    zoomed = ranges(page)
    assert (zoomed == zoomed[0]).all()
    assert 0.05 < np.ptp(zoomed[0]) / np.ptp(whole[0]) < 0.15
    assert " to " in page.locator("[data-shown]").text_content()
    page.mouse.dblclick(x, y)
    assert eventually(page, lambda: np.allclose(ranges(page), whole))


def test_the_value_axis_fits_what_is_seen(opened):
    page = opened("year")
    span = "(c => c.plot.y_range.end - c.plot.y_range.start)(papertape.drawn.get('price-0'))"
    whole = page.evaluate(span)
    for _ in range(4):
        page.click("[data-zoom=in]")
    assert eventually(page, lambda: 0.0 < page.evaluate(span) < whole / 2)


def test_ctrl_and_the_wheel_zoom_and_the_wheel_alone_scrolls(opened):
    page = opened("year")
    before = ranges(page)
    page.mouse.move(*middle_of(page, "equity"))
    page.mouse.wheel(0, 200)
    assert eventually(page, lambda: page.evaluate("scrollY") > 0)
    assert (ranges(page) == before).all()
    page.mouse.move(*middle_of(page, "equity"))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    assert eventually(page, lambda: np.ptp(ranges(page)[0]) < np.ptp(before[0]))
    page.keyboard.up("Control")


def test_keys_zoom_and_move_the_chart_that_has_the_focus(opened):
    page = opened("year")
    whole = ranges(page)[0]
    page.focus("#plot-underwater")
    page.keyboard.press("+")
    page.keyboard.press("+")
    start, end = ranges(page)[0]
    assert end - start == pytest.approx((whole[1] - whole[0]) / 4)
    page.keyboard.press("ArrowRight")
    assert ranges(page)[0][0] > start
    page.keyboard.press("0")
    assert ranges(page)[0] == pytest.approx(whole)


def test_the_tab_key_reaches_the_skip_link_first_and_each_chart_once(opened):
    page = opened("short")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.focus("#plot-equity")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "plot-underwater"


def tooltips(page):
    """Texts of the tooltips that are seen, wherever in shadow roots they are."""
    script = """() => {
        const found = [];
        const walk = node => {
            for (const each of node.querySelectorAll('*')) {
                if (each.classList.contains('bk-tooltip-content')) found.push(each.innerText);
                if (each.shadowRoot) walk(each.shadowRoot);
            }
        };
        walk(document);
        return found.filter(Boolean);
    }"""
    return page.evaluate(script)


def test_pointing_at_a_line_shows_its_time_in_the_exchanges_zone_and_its_value(opened, year_record):
    page = opened("year")
    page.mouse.move(*middle_of(page, "equity"))
    assert eventually(page, lambda: tooltips(page))
    text = " ".join(tooltips(page))
    assert "2024" in text
    assert "USD" in text
    assert any(f" {hour:02}:{minute:02}:00" in text for hour in range(9, 17) for minute in (0, 30))


def test_a_time_on_the_axis_is_the_wall_time_of_the_run(opened, short_record):
    page = opened("short")
    script = "[...papertape.drawn.get('equity').labels.values()]"
    labels = page.evaluate(script)
    assert labels[0].split("\n")[-1] == "Mon 5 Jan"
    assert {"10:00", "11:00", "12:00"} <= {label.split("\n")[0] for label in labels}


def test_a_value_axis_has_the_same_decimals_at_each_label_and_a_price_at_least_two(opened):
    page = opened("year")
    script = "key => (axis => axis.formatter.doFormat([0, 0.05, 0.1]))(papertape.drawn.get(key).plot.left[0])"
    assert page.evaluate(script, "underwater") == ["0.00", "0.05", "0.10"]
    script = "key => papertape.drawn.get(key).plot.left[0].formatter.doFormat([-1000, 0, 1000])"
    assert page.evaluate(script, "equity") == ["-1,000", "0", "1,000"]
    assert page.evaluate(script, "price-0") == ["-1,000.00", "0.00", "1,000.00"]


def test_a_day_begins_with_a_label_at_its_opening_when_hours_are_shown(opened):
    page = opened("year")
    script = """() => {
        const chart = papertape.drawn.get("equity"), { clock } = chart;
        const opens = clock.x.filter((_, k) => !clock.gap[k]).slice(20, 24);
        chart.plot.x_range.setv({ start: opens[0] - 1, end: opens[3] - 1 });
        return [...chart.labels.values()];
    }"""
    labels = page.evaluate(script)
    openings = [label for label in labels if "\n" in label]
    assert len(openings) == 3, labels
    assert all(label.startswith("09:30\n") for label in openings)


def test_a_hostile_name_is_inert_everywhere_also_in_tooltips(opened, hostile):
    page = opened("hostile")
    script = """key => {
        const chart = papertape.drawn.get(key);
        for (const renderer of chart.plot.renderers) {
            const data = renderer.data_source.data;
            const texts = data instanceof Map ? data.get('symbols') ?? data.get('symbol') : data.symbols ?? data.symbol;
            const at = texts ? [...texts].findIndex(text => text.includes('<img')) : -1;
            if (at < 0) continue;
            const get = name => data instanceof Map ? data.get(name)[at] : data[name][at];
            const view = chart.view.views.find_one(renderer);
            const box = chart.element.getBoundingClientRect();
            return [box.left + view.coordinates.x_scale.compute(get('x')), box.top + view.coordinates.y_scale.compute(get('y'))];
        }
    }"""
    seen = []
    for key in ("equity", "slippage"):
        page.locator(f"#plot-{key}").scroll_into_view_if_needed()
        x, y = page.evaluate(script, key)
        page.mouse.move(x, y)
        assert eventually(page, lambda: any("<img" in text for text in tooltips(page)))
        seen += [text for text in tooltips(page) if "<img src=x" in text]
    assert seen
    assert hostile in page.inner_text("h1")
    assert page.title() != "owned"
    assert page.locator("img").count() == 0
    assert page.evaluate("document.scripts.length") == page.evaluate(
        "document.querySelectorAll('body > script').length"
    )


def test_choosing_an_instrument_shows_its_price_and_position(opened):
    page = opened("short")
    assert page.locator("#plot-price-0").is_visible()
    assert not page.locator("#plot-price-1").is_visible()
    page.select_option("[data-chooser=symbol]", "1")
    page.wait_for_selector("#plot-price-1[data-drawn=true]")
    page.wait_for_selector("#plot-position-1[data-drawn=true]")
    assert not page.locator("#plot-price-0").is_visible()
    assert len(colours_of(page, "price-1")) > 3


def test_a_click_on_a_heading_sorts_the_table_and_another_one_the_other_way(opened, short_record):
    page = opened("short")
    heading = page.locator("[data-table=trades] th", has_text="Profit")
    column = heading.evaluate("head => head.cellIndex")

    def shown():
        texts = page.locator(f"[data-table=trades] tbody td:nth-child({column + 1})").all_text_contents()
        return [float(text.replace(",", "")) for text in texts]

    given = shown()
    heading.locator("button").click()
    assert shown() == sorted(given, reverse=True) != given
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").click()
    assert shown() == sorted(given)


def test_the_meaning_of_a_metric_is_shown_to_pointer_and_keyboard(opened):
    page = opened("year")
    sharpe = page.locator(".metrics .term", has_text="Sharpe").first
    tip = sharpe.locator(".tip")
    assert not tip.is_visible()
    sharpe.hover()
    assert tip.is_visible()
    page.mouse.move(0, 0)
    sharpe.focus()
    assert tip.is_visible()
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0


@pytest.mark.parametrize(("name", "width"), [("year", 390), ("hostile", 390), ("short", 768), ("year", 1440)])
def test_nothing_is_wider_than_the_screen(opened, name, width):
    page = opened(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_finger_scrolls_over_charts(opened):
    page = opened("year", width=390, touch=True)
    script = "getComputedStyle(papertape.drawn.get('equity').view.canvas_view.events_el).touchAction"
    assert page.evaluate(script) in ("auto", "manipulation", "pan-y")


def test_a_print_has_a_picture_of_each_chart_and_no_controls(opened):
    page = opened("short", scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    pictures = page.locator(".plot > canvas.print-only")
    assert pictures.count() == page.evaluate("papertape.drawn.size")
    assert pictures.first.is_visible()
    assert not page.locator(".bar").is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink')") == LIGHT[Role.INK]
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert pictures.count() == 0
