"""What the documentation says is so: its code runs, its commands parse, its links lead somewhere, its tables agree."""

from __future__ import annotations

import glob
import importlib.util
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import papertape
from backtests.definitions import DEFINITIONS
from backtests.settings import guard_settings
from brokers.ib.codes import CODES
from feeds.csv_columns import ALIASES
from feeds.sample import write_sample
from gateway.fault_kinds import SHAPES
from gateway.scenario import Scenario
from papertape import Run, Strategy, backtest
from papertape.cli.main import app, spread_data
from papertape.cli.main import run as run_program
from papertape.config import configure
from papertape.core.guard import GuardSettings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE_PAGES = [ROOT / "README.md", ROOT / "docs" / "strategy-guide.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
S = 1_000_000_000
OPEN = 1_704_292_200 * S  # 2024-01-03 09:30 New York


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """(place, text) of each fenced block of a language."""
    text = page.read_text(encoding="utf-8")
    return [
        (f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found[2])
        for found in FENCE.finditer(text)
        if found[1] == language
    ]


def parameters(found: list[tuple[str, str]]) -> Any:
    return pytest.mark.parametrize("code", [code for _, code in found], ids=[place for place, _ in found])


PYTHON = [each for page in CODE_PAGES for each in blocks(page, "python")]
BODIES = [each for each in PYTHON if re.search(r"^self\.|= self\.", each[1], re.MULTILINE)]
PROGRAMS = [each for each in PYTHON if each not in BODIES]
COMMANDS = [
    (place, line)
    for page in PAGES
    for place, text in blocks(page, "sh")
    for line in text.splitlines()
    if line.startswith("papertape ")
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "sample"
    write_sample(folder, symbols=8, days=3)
    return folder


@pytest.fixture
def workplace(tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like that of a reader who has made a sample."""
    (tmp_path / "sample").symlink_to(sample)
    (tmp_path / "jumps.py").write_text(blocks(ROOT / "README.md", "python")[0][1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jumps", raising=False)
    return tmp_path


@pytest.fixture
def program(workplace: Path) -> Iterator[Callable[[str], Any]]:
    """Runs a block of code as a module from a file."""
    made: list[str] = []

    def run(code: str) -> Any:
        name = f"documented_{len(made)}"
        file = workplace / f"{name}.py"
        file.write_text(code, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        made.append(name)
        spec.loader.exec_module(module)
        return module

    yield run
    for name in made:
        del sys.modules[name]


def listening(strategy: type[Strategy], heard: set[str]) -> type[Strategy]:
    """The strategy, noting which of its callbacks were called."""

    def noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *event: Any) -> Any:
            heard.add(name)
            return method(self, *event)

        return call

    own = {name: each for name, each in vars(strategy).items() if name.startswith("on_")}
    return type(strategy.__name__, (strategy,), {name: noting(name, each) for name, each in own.items()})


@parameters(PROGRAMS)
def test_a_whole_program_of_the_documentation_runs_and_all_its_callbacks_are_called(code, program):
    found = [each for each in vars(program(code)).values() if isinstance(each, type) and issubclass(each, Strategy)]
    for strategy in found:
        if strategy is not Strategy:
            heard: set[str] = set()
            backtest(listening(strategy, heard)(), "sample")
            assert heard == {name for name in vars(strategy) if name.startswith("on_")}


def two_hours() -> dict[str, Any]:
    """A trade and a quote a second of two instruments."""
    n = 7200
    ts = OPEN + np.arange(n) * S
    price = np.round(100 + np.sin(np.arange(n) / 300), 2)
    trades = {"ts": ts, "price": price, "size": np.full(n, 500.0)}
    size = np.full(n, 300.0)
    quotes = {"ts": ts, "bid": price - 0.01, "ask": price + 0.01, "bid_size": size, "ask_size": size}
    return {symbol: [trades, quotes] for symbol in ("AAPL", "MSFT")}


@parameters(BODIES)
def test_a_callbacks_body_of_the_documentation_runs_and_none_of_its_orders_is_refused(code):
    namespace = {name: getattr(papertape, name) for name in papertape.__dir__() if not name.startswith("_")}
    source = "async def body(self):\n" + textwrap.indent(code, "    ")
    exec(compile(source, "<documentation>", "exec"), namespace)
    done = []

    class Reader(Strategy):
        """Holds a thousand shares, then does what the page shows."""

        def on_start(self) -> None:
            self.subscribe("AAPL")
            self.buy("AAPL", 1000)
            self.at("10:00", label="now")

        def on_trade(self, trade: papertape.Trade) -> None:
            """Hears trades, so that there is something to subscribe to."""

        def on_bar(self, bar: papertape.Bar) -> None:
            """Hears bars."""

        async def on_time(self, time: papertape.TimeEvent) -> None:
            if time.label == "now":
                await namespace["body"](self)
                done.append(time.ts)

    run = backtest(Reader, two_hours(), cash=1_000_000)
    assert done == [OPEN + 1800 * S]
    assert "refused" not in set(run.guard["kind"])
    assert "REJECTED" not in set(run.orders["status"])


@pytest.mark.parametrize(("place", "line"), COMMANDS, ids=[f"{place} {line[:60]}" for place, line in COMMANDS])
def test_a_command_of_the_documentation_parses(place, line):
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    words = spread_data(words)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if hasattr(command, "default"):
        command = command.commands[command.default]
    assert not hasattr(command, "commands"), f"{place}: no such command"
    command.make_context("papertape", list(words))


TOML = [each for page in PAGES for each in blocks(page, "toml")]
SCENARIOS = [each for each in TOML if "[[fault]]" in each[1]]
CONFIGURATIONS = [each for each in TOML if each not in SCENARIOS]


@parameters(SCENARIOS)
def test_a_scenario_of_the_documentation_is_understood(code):
    scenario = Scenario.parse(code, "the page")
    assert len(scenario.faults) == code.count("[[fault]]") > 0


def test_the_page_of_the_simulated_tws_has_every_kind_of_fault_with_its_keys():
    page = ROOT / "docs" / "simulated-gateway.md"
    listed = {}
    for row in rows(page, "Faults"):
        for name in re.findall(r"`([\w-]+)`", row[0]):
            listed[name] = set(re.findall(r"`(\w+)`", row[2]))
    assert set(listed) == {kind.value for kind in SHAPES}
    for kind, shape in SHAPES.items():
        common = {"at", "after"} if set(shape.takes) >= {"at", "after"} else set()
        assert set(shape.takes) - common - {"client", "symbol", "nth", "count", "message"} <= listed[kind.value], kind


@parameters(CONFIGURATIONS)
def test_a_configuration_of_the_documentation_is_understood(code, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(code, encoding="utf-8")
    config = configure({}, file, environment={})
    given = {name: getattr(config.guard, name) for name in GuardSettings.__dataclass_fields__}
    assert guard_settings({name: value for name, value in given.items() if value is not None}).loss_limit() == 0.05


def test_the_readmes_first_steps_work_word_by_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "README.md"
    (place, strategy), *_ = blocks(page, "python")
    (tmp_path / "jumps.py").write_text(strategy, encoding="utf-8")
    lines = [line for _, text in blocks(page, "sh") for line in text.splitlines() if line.startswith("papertape ")]
    assert len(lines) >= 5, place
    for line in lines:
        status = run_program(as_a_shell_reads(line)[1:])
        said = capsys.readouterr()
        assert status == 0, f"{line}: {said.err}"
        assert said.out
        if line.startswith("papertape compare"):
            found = re.search(r"the same, no difference in .*: (\d+) orders, (\d+) fills", said.out)
            assert found is not None, said.out
            assert min(int(found[1]), int(found[2])) > 10


def as_a_shell_reads(line: str) -> list[str]:
    """The words of a command, with names of files in place of patterns."""
    words = shlex.split(line, comments=True)
    return [each for word in words for each in (sorted(glob.glob(word)) if "*" in word else [word])]


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in headings(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_path_in_code_marks_is_there(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    pattern = r"`((?:papertape|strategies|feeds|brokers|backtests|gateway|tests|docs)/[\w./*]*)`"
    for name in re.findall(pattern, text):
        assert list(ROOT.glob(name.rstrip("/"))), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_row_of_a_table_has_as_many_cells_as_its_header(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, *others = (len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines())
        assert others == [header] * len(others), f"{page.name}: {table.splitlines()[0]}"  # a pipe in code splits a cell


def test_the_readme_leads_to_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"({page.relative_to(ROOT)})" not in text] == []


def rows(page: Path, heading: str) -> list[list[str]]:
    """The table under a heading, without its header."""
    text = page.read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_of_metrics_has_every_definition_word_by_word():
    page = ROOT / "docs" / "metrics.md"
    listed = rows(page, "Definitions")
    wanted = [[f"`{each.key}`", each.title, each.text, each.unit.value, each.better.value] for each in DEFINITIONS]
    assert listed == wanted


def test_the_page_of_data_formats_lists_every_alias():
    listed = {name: set(re.findall(r"`([^`]+)`", cell)) for name, cell in rows(ROOT / "docs/data-formats.md", "Names")}
    for kind, columns in ALIASES.items():
        for column, names in columns.items():
            assert listed[f"{kind.name.lower()} {column}"] == set(names)


def test_the_page_of_the_guard_names_every_limit():
    text = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
    assert [name for name in GuardSettings.__dataclass_fields__ if f"`{name}`" not in text and name not in text] == []


def source(*patterns: str) -> str:
    """The code of modules as one text, literals that stand over several lines joined."""
    files = sorted(each for pattern in patterns for each in ROOT.glob(pattern))
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(each.read_text(encoding="utf-8") for each in files))


def test_the_page_of_the_guard_names_every_rule_that_refuses_an_order():
    text = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
    rules = set(re.findall(r'Refused\(\s*"(\w+)"', source("papertape/core/guard.py", "papertape/live/*.py")))
    assert len(rules) > 15
    assert [rule for rule in sorted(rules) if f"`{rule}`" not in text] == []


def options_of(verb: str) -> set[str]:
    command: Any = typer.main.get_command(app)
    return {name for each in command.commands[verb].params for name in each.opts if name.startswith("--")}


def test_the_pages_of_paper_and_live_name_every_option_that_a_backtest_does_not_have():
    pages = [ROOT / "docs" / name for name in ("paper-trading.md", "live.md", "guard.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    wanted = (options_of("paper") | options_of("live")) - options_of("backtest")
    assert len(wanted) > 15
    assert [name for name in sorted(wanted) if not re.search(rf"{name}\b", text)] == []


def test_every_refusal_that_the_page_of_live_trading_quotes_is_the_programs_own():
    quoted = [
        re.findall(r"`([^`]+)`$", cells[1])[0] for cells in rows(ROOT / "docs" / "live.md", "What refuses to begin")
    ]
    assert len(quoted) > 10
    said = source("papertape/cli/*.py", "papertape/live/*.py", "papertape/core/guard.py", "brokers/ib/*.py")
    what_varies = r'127\.0\.0\.1:\d+|D?U\d+|"|armed\.json|\blive\b|\bpaper\b|\d{3,}|since \.\.\.|client id 1|USD='
    for text in quoted:
        parts = [part.strip(" :") for part in re.split(what_varies, text)]
        own = [part for part in parts if len(part) > 12]
        assert own, text
        assert [part for part in own if part not in said] == [], text


@pytest.mark.parametrize("heading", ["Market data", "When something goes wrong"])
def test_every_code_of_tws_on_the_page_of_paper_trading_is_one_that_the_adapter_knows(heading):
    cells = " ".join(cells[0] for cells in rows(ROOT / "docs" / "paper-trading.md", heading))
    named = {int(code) for code in re.findall(r"(?<![\d,.:])\d{3,5}(?![\d,.]*\d)", cells)}
    assert len(named) > 7
    assert named - set(CODES) == set()


def picture(name: str = "draw_report") -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "images" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_picture_is_of_its_own_strategy_on_the_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = re.findall(r">([^<>]+)</text>", picture().draw())
    kept = re.findall(r">([^<>]+)</text>", (ROOT / "docs/images/report.svg").read_text(encoding="utf-8"))
    changing = re.compile("events&#160;in|stored&#160;in|^runs/")
    assert [text for text in kept if not changing.search(text)] == [text for text in drawn if not changing.search(text)]


def test_the_picture_asks_no_server_for_anything_and_says_that_it_is_synthetic():
    text = (ROOT / "docs/images/report.svg").read_text(encoding="utf-8")
    assert "SYNTHETIC" in text
    assert "@font-face" not in text
    assert set(re.findall(r"https?://[^\s\"')]+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_readmes_pictures_of_pages_are_there_small_and_made_by_commands_that_it_has():
    drawing = picture("draw_pages")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"!\[([^\]]*)\]\(docs/images/(\w+\.png)\)", text))
    assert sorted(shown.values()) == sorted(drawing.PICTURES)
    assert all("synthetic" in said for said in shown)
    for name in drawing.PICTURES:
        content = (ROOT / "docs/images" / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n"), name
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
        assert (width, height) == (drawing.WIDTH, drawing.HEIGHT), name
        assert len(content) < 250_000, name
    commands = re.findall(r"^papertape (.*?) *(?:#.*)?$", text, re.MULTILINE)
    assert [each for each in drawing.COMMANDS if each not in commands] == []
    assert drawing.strategy() == blocks(ROOT / "README.md", "python")[0][1]


def test_a_run_of_the_guide_can_be_opened_again(program):
    code = next(code for _, code in PROGRAMS if "open_run" in code)
    assert isinstance(program(code).run, Run)


def locked() -> dict[str, set[str]]:
    """Package -> its versions in the locks of users and developers."""
    found: dict[str, set[str]] = {}
    for name in ("requirements.lock", "requirements-dev.lock"):
        for package, version in re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / name).read_text(), re.MULTILINE):
            found.setdefault(package, set()).add(version)
    return found


def test_the_page_of_dependencies_has_each_with_its_locked_version():
    import tomllib

    page = ROOT / "docs" / "dependencies.md"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {
        "At run time": project["project"]["dependencies"],
        "For development": [each for each in groups["dev"] + groups["build"] if isinstance(each, str)],
    }
    versions = locked()
    for heading, specifiers in wanted.items():
        names = {re.split(r"[<>=!~ ;\[]", each)[0] for each in specifiers}
        listed = {row[0]: row[1] for row in rows(page, heading)}
        assert set(listed) == names
        assert [name for name in names if listed[name] not in versions[name]] == []
