from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from backtests.report.document import report_html
from backtests.report.heatmap import day_table, month_table
from backtests.report.page import Page, Section, columns_html, escaped, script_json, term
from backtests.report.parts import Align, Cell, Column, Table, Tone
from backtests.report.series import Days, session_returns


class Reader(html.parser.HTMLParser):
    """What a page is made of: its elements with their attributes, the text of its scripts, and all other text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._inside != "style":
            self.text += data

    def policy(self) -> dict[str, str]:
        (content,) = [a["content"] for tag, a in self.elements if a.get("http-equiv") == "Content-Security-Policy"]
        return dict(each.strip().split(" ", 1) for each in (content or "").split(";"))


@pytest.fixture(scope="module")
def year_page(year_record) -> str:
    return report_html(year_record, run_name="a-run")


def test_the_policy_allows_the_pages_own_scripts_by_hash_and_nothing_from_anywhere(year_page):
    page = Reader(year_page)
    policy = page.policy()
    assert policy["default-src"] == "'none'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    allowed = policy["script-src"].split()
    run = [text for attributes, text in page.scripts if "type" not in attributes]
    hashes = ["'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'" for text in run]
    assert allowed == hashes
    assert len(run) == 2


def test_nothing_in_a_page_refers_to_another_place(year_page):
    page = Reader(year_page)
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert "src" not in attributes
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")


def test_every_link_leads_to_a_section_and_every_chart_has_its_data(year_page):
    page = Reader(year_page)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for tag, a in page.elements if tag == "a"} <= {f"#{each}" for each in ids}
    charts = {a["data-chart"] for _, a in page.elements if "data-chart" in a}
    assert {f"data-{key}" for key in charts} | {"page-settings"} == {a["id"] for a, _ in page.scripts if "id" in a}
    for attributes, text in page.scripts:
        if attributes.get("type") == "application/json":
            assert json.loads(text)


def test_equal_records_give_equal_pages(short_record):
    assert report_html(short_record) == report_html(short_record)


def test_a_page_is_small_enough(year_page, short_record):
    assert len(year_page.encode()) < 2_000_000
    assert len(report_html(short_record).encode()) < 2_000_000


def test_hostile_text_is_text_and_makes_no_element(hostile_record, hostile):
    page = Reader(report_html(hostile_record, run_name=hostile))
    tags = {tag for tag, _ in page.elements}
    assert "img" not in tags
    assert "b" not in tags
    assert page.text.count(hostile) >= 5
    run = [text for attributes, text in page.scripts if "type" not in attributes]
    assert len(run) == 2
    assert not any("title='owned'" in text for text in run)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<b>\"'&", "&lt;b&gt;&quot;&#x27;&amp;"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("left\u202eright", "left\\u202eright"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_text_is_escaped_for_html_and_what_cannot_be_seen_is_shown(text, shown):
    assert escaped(text) == shown


def test_json_in_a_script_element_cannot_end_it():
    value = {"</script><!--": "<script>&"}
    text = script_json(value)
    assert not set("<>&") & set(text)
    assert json.loads(text) == value


def test_json_that_javascript_could_not_read_is_refused():
    with pytest.raises(ValueError, match="Out of range"):
        script_json([float("nan")])


TABLE = Table(
    "some",
    "Some",
    (Column("name", "Name", Align.LEFT), Column("value", "Value", help="What <it> is")),
    (
        (Cell("b", "b"), Cell("10", 10.0, Tone.GOOD)),
        (Cell("a", "a"), Cell("n/a")),
        (Cell("c", "c"), Cell("9", 9.0, Tone.BAD)),
        (Cell("c", "c"), Cell("9", 9.0)),
    ),
)


def test_a_table_is_sorted_by_ranks_in_which_equals_are_equal_and_the_unknown_is_apart():
    page = Page("x")
    body = page.table(TABLE)
    rendered = Reader(page.render("", [Section("a", "A", body)]))
    settings = json.loads(next(text for a, text in rendered.scripts if a.get("id") == "page-settings"))
    assert settings["ranks"] == {"some": [[1, 0, 2, 2], [1, -1, 0, 0]]}
    assert "What &lt;it&gt; is" in body
    assert 'class="r good">10' in body


def test_a_table_of_two_rows_has_nothing_to_sort():
    assert "<button" not in Page("x").table(Table("t", "T", TABLE.columns, TABLE.rows[:2]))


def test_two_tables_of_one_name_are_refused():
    page = Page("x")
    page.table(TABLE)
    with pytest.raises(AssertionError, match="two tables"):
        page.table(TABLE)


def test_a_term_without_a_meaning_is_only_text():
    assert term("a & b", "") == "a &amp; b"
    assert 'role="tooltip">m</span>' in term("a", "m")


def test_cards_go_to_the_shortest_column():
    cards = [(10, "A"), (1, "B"), (1, "C"), (1, "D")]
    assert re.findall(r"<div>(.*?)</div>", columns_html(cards, 2), re.DOTALL) == ["A", "B\nC\nD"]


def test_the_page_of_a_run_names_its_money_and_the_zone_of_its_times(year_page):
    text = Reader(year_page).text
    assert re.search(r"\d[\d,]*\.\d\d USD", text)
    assert "Times in New York" in text


def test_a_short_run_shows_no_returns_by_day(short_record, year_page):
    assert "Returns by day" in year_page
    assert "Returns by day" not in report_html(short_record)


def test_a_run_without_orders_has_a_page_that_says_so_and_knows_no_ratios(idle_record):
    page = Reader(report_html(idle_record))
    assert "the strategy gave no orders" in page.text
    assert "n/a" in page.text
    assert "nothing to draw" in page.text
    assert "instruments" not in [attributes.get("id") for _, attributes in page.elements]


def test_each_session_is_a_cell_of_its_weekday(year_record):
    days = session_returns(year_record)
    page = Reader(f"<html>{day_table(days)}</html>")
    cells = [attributes["title"] for tag, attributes in page.elements if tag == "td" and "title" in attributes]
    assert len(cells) == len(days.date)
    rows = re.findall(r'<tr><th scope="row">(\w{3})</th>(.*?)</tr>', day_table(days), re.DOTALL)
    for name, row in rows:
        for day in re.findall(r'title="(\S+)', row):
            assert np.datetime64(day, "D").astype(object).strftime("%a") == name


def test_months_show_their_returns_with_a_sign_and_a_level():
    dates = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-03-01")).astype(np.int64)
    returns = np.zeros(len(dates))
    returns[0], returns[40] = 0.05, -0.02
    shown = month_table(Days(dates, dates, returns))
    assert re.search(r'<td class="up4">\+5\.00</td>', shown)
    assert re.search(r'<td class="down[12]">-2\.00</td>', shown)
    assert '<td class="whole">+2.90</td>' in shown


def test_a_report_imports_neither_pandas_nor_numba_nor_bokeh():
    program = (
        "import sys; import backtests.report.document;"
        "print([name for name in ('pandas', 'numba', 'bokeh') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
