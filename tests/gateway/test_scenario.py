"""A scenario is read from TOML with one clear line for each mistake, or drawn from a seed, always the same."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fault_kinds import (
    FARMS,
    KEYS,
    MESSAGES,
    SHAPES,
    Fault,
    Kind,
    armed_ts,
    duration_ns,
    duration_text,
    fault_line,
)
from gateway.scenario import FAULTS_MOST, Scenario, with_seed
from papertape.core.errors import ConfigError
from papertape.core.model import NS_PER_S

START = 1_717_421_400 * NS_PER_S
"""2024-06-03 09:30 in New York."""
END = START + 6 * 3600 * NS_PER_S
NEW_YORK = "America/New_York"


def test_a_file_says_what_goes_wrong_and_when() -> None:
    scenario = Scenario.parse(
        """
        seed = 3
        [[fault]]
        kind = "connectivity"
        at = "10:05"
        for = "1.5s"
        data_lost = true
        [[fault]]
        kind = "reorder"
        message = "execution"
        behind = "order-status"
        nth = 2
        client = 0
        """,
        "s.toml",
    )
    assert scenario.seed == 3
    lost, swapped = scenario.faults
    assert lost == Fault(Kind.CONNECTIVITY, at=dt.time(10, 5), for_ns=1_500_000_000, data_lost=True)
    assert (swapped.message, swapped.behind, swapped.nth, swapped.client) == ("execution", "order-status", 2, 0)
    assert swapped.for_ns == 60 * NS_PER_S, "the default of its kind"
    assert scenario.lines()[0] == "connectivity at 10:05:00, for 1500ms, data_lost true"
    assert scenario.rerun == "--scenario s.toml --seed 3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fault = [", "s.toml: "),
        ("a = 1\nb = = 2", "s.toml:2:5: Invalid value"),
        ("\nsead = 1", 's.toml:2: unknown key "sead"; did you mean "seed"?'),
        ("seed = -1", "s.toml:1: seed: a whole number from 0 is needed"),
        ("seed = true", "s.toml:1: seed: a whole number from 0 is needed"),
        ("[fault]\nkind = 'bust'", "s.toml:1: fault: begin each fault with a line [[fault]]"),
        ("[[fault]]\nnth = 1", "s.toml:1: a fault needs its kind; known: disconnect, half-open"),
        (
            "[[fault]]\nkind='bust'\n[[fault]]\nnth=2\nkind='bursts'",
            's.toml:5: no fault "bursts"; did you mean "bust"?',
        ),
        ("[[fault]]\nkind='bust'\n[[fault]]\nkind='bust'\nn = 2", 's.toml:5: bust has no "n"; did you mean "nth"?'),
        ("[[fault]]\nkind='bust'\nnth = 0", "s.toml:3: bust nth: a whole number from 1 is needed"),
        ("[[fault]]\nkind='bust'\nnth = 'x'", "s.toml:3: bust nth: a whole number from 1 is needed"),
        ("[[fault]]\nkind='restart'\nat='soon'", 's.toml:3: restart at: a time as "10:30" or'),
        ("[[fault]]\nkind='restart'\nat='2026-01-05'", 's.toml:3: restart at: a time as "10:30" or'),
        ("[[fault]]\nkind='restart'\nat=10:00:00\nafter='1s'", "s.toml:4: restart has both at and after; keep one"),
        ("[[fault]]\nkind='restart'\nwall='1s'", "s.toml:1: restart needs at or after"),
        ("[[fault]]\nkind='delay'\nfor='1s'", "s.toml:1: delay needs message"),
        ("[[fault]]\nkind='delay'\nmessage='execution'", "s.toml:1: delay needs for"),
        (
            "[[fault]]\nkind='drop'\nmessage='executions'",
            "s.toml:3: drop message: no such kind of message; did you mean",
        ),
        ("[[fault]]\nkind='delay'\nmessage='any'\nfor='5'", 's.toml:4: delay for: a length of time as "250ms"'),
        ("[[fault]]\nkind='farm'\nat='10:00'\ncode=2100", "s.toml:4: farm code: one of 2103, 2105, 2108, 2110, 2157"),
        ("[[fault]]\nkind='notice'\nat='10:00'\ncode=10197", "s.toml:1: notice needs text"),
        ("[[fault]]\nkind='reject'\ntext=''", "s.toml:3: reject text: a text of plain characters is needed"),
        ("[[fault]]\nkind='reject'\ntext='caf\u00e9'", "s.toml:3: reject text: a text of plain characters is needed"),
        ("[[fault]]\nkind='correct'\nby='1'", "s.toml:3: correct by: a number is needed"),
        ("[[fault]]\nkind='correct'\nby=inf", "s.toml:3: correct by: a number is needed"),
        ("[[fault]]\nkind='partial'\nparts=1", "s.toml:3: partial parts: a whole number from 2 to 100 is needed"),
        ("[[fault]]\nkind='garbage'\nat='10:00'\nbytes=2000000", "s.toml:4: garbage bytes: a whole number of bytes"),
        (
            "[[fault]]\nkind='connectivity'\nat='10:00'\ndata_lost=1",
            "s.toml:4: connectivity data_lost: true or false is needed",
        ),
        ("[[fault]]\nkind='bust'\n" * (FAULTS_MOST + 1), "s.toml: 1,001 faults; at most 1,000 can be given"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Scenario.parse(text, "s.toml")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: the scenario cannot be read"):
        Scenario.read(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml: is not UTF-8 text"):
        Scenario.read(tmp_path / "binary.toml")


def test_equal_seeds_draw_equal_schedules_and_others_do_not() -> None:
    drawn = [Scenario.from_seed(seed, START, END) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].faults != drawn[2].faults
    assert drawn[0].rerun == "--seed 1"


def test_the_schedule_of_a_seed_stays_what_it_was() -> None:
    """Whoever noted a seed last year gets the same faults with it, on every Python."""
    assert Scenario.from_seed(7, START, END).lines()[:5] == [
        "disconnect after 14060s",
        "half-open after 1252s, wall 20s",
        "restart after 9366s, wall 3s",
        "connectivity after 9169s, for 5s, data_lost true",
        "farm after 4821s, for 20s",
    ]


def test_seeds_draw_every_kind_of_fault() -> None:
    drawn = {fault.kind for seed in range(40) for fault in Scenario.from_seed(seed, START, END).faults}
    assert drawn == set(Kind) - {Kind.NOTICE}, "a notice has no code of its own"


def test_a_seed_loses_no_message_that_carries_a_fill() -> None:
    dropped = {
        fault.message
        for seed in range(60)
        for fault in Scenario.from_seed(seed, START, END).faults
        if fault.kind is Kind.DROP
    }
    assert dropped == {"order-status"}


@given(st.integers(0, 2**63 - 1), st.integers(1, 40 * 3600 * NS_PER_S), st.booleans())
def test_a_seed_times_its_faults_inside_the_market_and_its_sessions(seed: int, length: int, split: bool) -> None:
    end = START + length
    sessions = [(START - 5, START + length // 3), (START + length // 2, end + 5)] if split else []
    for fault in Scenario.from_seed(seed, START, end, sessions).faults:
        armed = armed_ts(fault, START, NEW_YORK)
        assert START <= armed <= end
        if fault.after_ns is not None and split and length > 12:
            assert any(a - NS_PER_S <= armed <= b for a, b in sessions)


@given(st.integers(0, 2**63 - 1))
def test_a_drawn_scenario_can_be_written_to_a_file_and_read_back(seed: int) -> None:
    scenario = Scenario.from_seed(seed, START, END)
    again = Scenario.parse(scenario.as_toml(), "s.toml")
    assert again.faults == scenario.faults
    assert again.seed == scenario.seed


def values_of(name: str) -> st.SearchStrategy[object]:
    """Values of one key, as a file may have them."""
    lengths = st.integers(0, 10**9).map(lambda ms: f"{ms}ms")
    special: dict[str, st.SearchStrategy[object]] = {
        "at": st.datetimes() | st.times(),
        "after": lengths,
        "for": lengths,
        "wall": lengths,
        "message": st.sampled_from([*MESSAGES, "any"]),
        "behind": st.sampled_from([*MESSAGES]),
        "symbol": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
        "text": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
        "code": st.sampled_from(sorted(FARMS)),
        "by": st.floats(-1e9, 1e9),
        "data_lost": st.booleans(),
    }
    return special.get(name, st.integers(2, 100))


@given(st.data(), st.sampled_from(list(Kind)))
def test_what_a_file_can_say_is_written_back_as_it_was(data: st.DataObject, kind: Kind) -> None:
    takes = SHAPES[kind].takes
    said = {data.draw(st.sampled_from(names)) for names in SHAPES[kind].needs}
    said |= data.draw(st.sets(st.sampled_from(sorted(set(takes) - {"at", "after"}))))
    lines = [f"{name} = {KEYS[name].write(KEYS[name].read(data.draw(values_of(name))))}" for name in sorted(said)]
    first = Scenario.parse("\n".join(["[[fault]]", f'kind = "{kind}"', *lines]), "s.toml")
    again = Scenario.parse(first.as_toml(), "s.toml")
    assert again.faults == first.faults
    assert fault_line(first.faults[0]).startswith(kind)


@given(st.integers(0, 3600 * 10**9))
def test_lengths_of_time_are_written_as_they_are_read(us: int) -> None:
    assert duration_ns(duration_text(us * 1_000)) == us * 1_000


@pytest.mark.parametrize(
    ("at", "when"),
    [
        ("09:30", "2024-06-03T09:30:00"),
        ("10:00", "2024-06-03T10:00:00"),
        ("09:29", "2024-06-04T09:29:00"),
        ("2024-06-05T12:00:00.0005", "2024-06-05T12:00:00.000500"),
    ],
)
def test_a_time_of_day_is_the_first_after_the_start_in_the_exchanges_zone(at: str, when: str) -> None:
    (fault,) = Scenario.parse(f"[[fault]]\nkind='restart'\nat='{at}'", "s.toml").faults
    expected = dt.datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(NEW_YORK))
    assert dt.datetime.fromtimestamp(armed_ts(fault, START, NEW_YORK) / 1e9, ZoneInfo(NEW_YORK)) == expected


def test_a_time_with_a_zone_of_its_own_is_taken_in_that() -> None:
    at = dt.datetime(2024, 6, 3, 13, 31, tzinfo=dt.UTC)
    assert armed_ts(Fault(Kind.RESTART, at=at), START, NEW_YORK) == START + 60 * NS_PER_S


def test_another_seed_changes_only_what_is_random() -> None:
    scenario = Scenario.parse("[[fault]]\nkind='bust'", "s.toml")
    assert with_seed(scenario, 9) == Scenario(scenario.faults, 9, "s.toml")
