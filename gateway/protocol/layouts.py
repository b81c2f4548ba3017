"""The language of the layout tables, and how a layout becomes a program that writes and reads fields.

A layout is a tuple of items in wire order. Every item holds for server versions ``since`` to ``before`` - 1. A path
names an attribute of the message (``"rows"``) or of an object that it holds (``"contract.symbol"``). Both directions
come from the same table: nothing about a message is written down twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeAlias, get_type_hints

from gateway.protocol.wire import (
    FIRST_VERSION,
    FRACTIONAL_SIZES,
    ID,
    INT,
    LAST_VERSION,
    NUMBER_CHARACTERS_MAX,
    SIZE,
    TEXT,
    WHOLE_SIZE,
    Kind,
    ProtocolError,
)

BEYOND_VERSION = LAST_VERSION + 1
Test: TypeAlias = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """One value."""

    path: str
    kind: Kind
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


@dataclass(frozen=True, slots=True)
class Const:
    """A field that is always written so: a message's own version, or one that is no longer used.

    Any integer is read, because peers of other ages number the same layout otherwise.
    """

    text: str
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


@dataclass(frozen=True, slots=True)
class Group:
    """A count and as many objects."""

    path: str
    of: type
    items: Items
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


@dataclass(frozen=True, slots=True)
class Values:
    """A count and as many values of one kind."""

    path: str
    kind: Kind
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


@dataclass(frozen=True, slots=True)
class Pairs:
    """A count and as many names with values."""

    path: str
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


@dataclass(frozen=True, slots=True)
class Maybe:
    """A flag and, where it is set, an object; else None."""

    path: str
    of: type
    items: Items
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


@dataclass(frozen=True, slots=True)
class When:
    """Items that are there only where an earlier value passes a test."""

    path: str
    test: Test
    items: Items
    since: int = FIRST_VERSION
    before: int = BEYOND_VERSION


Item: TypeAlias = Field | Const | Group | Values | Pairs | Maybe | When
Items: TypeAlias = tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A message's number, its class and its layout, which does not repeat the number.

    ``select`` tells apart messages of one number: a field's place (0 is the number) and the texts that it then has.
    """

    number: int
    of: type
    items: Items = ()
    since: int = FIRST_VERSION
    select: tuple[int, frozenset[str]] | None = None


def filled(value: Any) -> bool:
    """A text or a group that is not empty."""
    return bool(value)


def positive(value: float) -> bool:
    """Above 0 and set."""
    return value > 0


def infinite(value: float) -> bool:
    """Infinite."""
    return math.isinf(value)


def one_of(*texts: str) -> Test:
    """Equal to one of the texts."""
    return frozenset(texts).__contains__


class Cursor:
    """Fields of a message and the place of the next one."""

    __slots__ = ("at", "fields")

    def __init__(self, fields: list[bytes], at: int) -> None:
        self.fields = fields
        self.at = at

    def next(self, path: str) -> str:
        """The next field's text."""
        at = self.at
        if at >= len(self.fields):
            raise ProtocolError(f"it ends before {path}")
        self.at = at + 1
        return self.fields[at].decode("utf-8", "backslashreplace")

    def value(self, path: str, kind: Kind) -> Any:
        """The next field's value."""
        text = self.next(path)
        try:
            return kind.read(text)
        except ValueError:
            shown = text if len(text) <= NUMBER_CHARACTERS_MAX else text[:NUMBER_CHARACTERS_MAX] + "..."
            raise ProtocolError(f"{path} is {shown!a}, which is no {kind.name}") from None

    def count(self, path: str) -> int:
        """How many things follow: never more than there are fields, so that a count costs nothing by itself."""
        count = self.value(f"the number of {path}", INT)
        if not 0 <= count <= len(self.fields) - self.at:
            raise ProtocolError(f"the number of {path} is {count}, but {len(self.fields) - self.at} fields follow")
        return int(count)


Found: TypeAlias = dict[str, dict[str, Any]]
"""Values that were read: by the object's name in the message ("" for the message itself), then by attribute."""


def _split(path: str) -> tuple[str, str]:
    holder, _, name = path.rpartition(".")
    return holder, name


class _Constant:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def write(self, message: Any, out: list[str]) -> None:
        out.append(self.text)

    def read(self, cursor: Cursor, found: Found) -> None:
        if cursor.next("the message's version") != self.text:
            cursor.at -= 1
            cursor.value("the message's version", INT)


class _Run:
    """Fields that follow one another: one look at the message for all of them."""

    __slots__ = ("_get", "_reads", "_writes")

    def __init__(self, fields: list[Field], version: int) -> None:
        kinds = [WHOLE_SIZE if f.kind is SIZE and version < FRACTIONAL_SIZES else f.kind for f in fields]
        get = attrgetter(*(f.path for f in fields))
        self._get: Callable[[Any], tuple[Any, ...]] = (lambda message: (get(message),)) if len(fields) == 1 else get
        self._writes = [kind.write for kind in kinds]
        self._reads = [(f.path, *_split(f.path), kind) for f, kind in zip(fields, kinds, strict=True)]

    def write(self, message: Any, out: list[str]) -> None:
        out += [write(value) for write, value in zip(self._writes, self._get(message), strict=True)]

    def read(self, cursor: Cursor, found: Found) -> None:
        for path, holder, name, kind in self._reads:
            found[holder][name] = cursor.value(path, kind)


class _Many:
    """A group, values or pairs: a count and a tuple."""

    __slots__ = ("_get", "_holder", "_name", "_path", "_read_one", "_write_one")

    def __init__(
        self, path: str, write_one: Callable[[Any, list[str]], None], read_one: Callable[[Cursor], Any]
    ) -> None:
        self._path = path
        self._holder, self._name = _split(path)
        self._get = attrgetter(path)
        self._write_one = write_one
        self._read_one = read_one

    def write(self, message: Any, out: list[str]) -> None:
        held = self._get(message)
        out.append(str(len(held)))
        for one in held:
            self._write_one(one, out)

    def read(self, cursor: Cursor, found: Found) -> None:
        count = cursor.count(self._path)
        found[self._holder][self._name] = tuple(self._read_one(cursor) for _ in range(count))


class _Maybe:
    __slots__ = ("_get", "_holder", "_name", "_path", "_program")

    def __init__(self, item: Maybe, version: int) -> None:
        self._path = item.path
        self._holder, self._name = _split(item.path)
        self._get = attrgetter(item.path)
        self._program = Program(item.of, item.items, version)

    def write(self, message: Any, out: list[str]) -> None:
        held = self._get(message)
        out.append("0" if held is None else "1")
        if held is not None:
            self._program.write(held, out)

    def read(self, cursor: Cursor, found: Found) -> None:
        there = cursor.value(f"the flag of {self._path}", INT) != 0
        found[self._holder][self._name] = self._program.read(cursor) if there else None


class _When:
    __slots__ = ("_get", "_holder", "_name", "_steps", "_test")

    def __init__(self, item: When, version: int) -> None:
        self._holder, self._name = _split(item.path)
        self._get = attrgetter(item.path)
        self._test = item.test
        self._steps = tuple(_steps(item.items, version))

    def write(self, message: Any, out: list[str]) -> None:
        if self._test(self._get(message)):
            for step in self._steps:
                step.write(message, out)

    def read(self, cursor: Cursor, found: Found) -> None:
        if self._test(found[self._holder][self._name]):
            for step in self._steps:
                step.read(cursor, found)


Step: TypeAlias = _Constant | _Run | _Many | _Maybe | _When


def _many(item: Group | Values | Pairs, version: int) -> _Many:
    if isinstance(item, Group):
        program = Program(item.of, item.items, version)
        return _Many(item.path, program.write, program.read)
    if isinstance(item, Values):
        kind, path = item.kind, item.path
        return _Many(path, lambda one, out: out.append(kind.write(one)), lambda cursor: cursor.value(path, kind))
    path = item.path

    def write_pair(one: tuple[str, str], out: list[str]) -> None:
        out += (TEXT.write(one[0]), TEXT.write(one[1]))

    return _Many(path, write_pair, lambda cursor: (cursor.value(path, TEXT), cursor.value(path, TEXT)))


def _steps(items: Items, version: int) -> Iterator[Step]:
    run: list[Field] = []
    for item in items:
        if not item.since <= version < item.before:
            continue
        if isinstance(item, Field):
            run.append(item)
            continue
        if run:
            yield _Run(run, version)
            run = []
        match item:
            case Const():
                yield _Constant(item.text)
            case Maybe():
                yield _Maybe(item, version)
            case When():
                yield _When(item, version)
            case _:
                yield _many(item, version)
    if run:
        yield _Run(run, version)


def _holders(items: Items) -> Iterator[str]:
    for item in items:
        if not isinstance(item, Const):
            yield _split(item.path)[0]
        if isinstance(item, When):
            yield from _holders(item.items)


class Program:
    """A layout at one server version: writes an object's fields, and reads them into a new object.

    What the version does not have reads as the class's default.
    """

    __slots__ = ("_nested", "_of", "_steps", "request_at")

    def __init__(self, of: type, items: Items, version: int) -> None:
        hints = get_type_hints(of)
        self._of = of
        self._nested = {holder: hints[holder] for holder in _holders(items) if holder}
        self._steps = tuple(_steps(items, version))
        self.request_at = self._find_request(items, version)
        """Place of the request's or order's number in the whole message (0 is the message's number), -1: none."""

    @staticmethod
    def _find_request(items: Items, version: int) -> int:
        there = (item for item in items if item.since <= version < item.before)
        for at, item in enumerate(there, 1):
            if isinstance(item, Field):
                return at if item.path in {"request", "order_id"} and item.kind is ID else -1
        return -1

    def write(self, message: Any, out: list[str]) -> None:
        """Append the object's fields."""
        for step in self._steps:
            step.write(message, out)

    def read(self, cursor: Cursor) -> Any:
        """The object whose fields come next. Raises ProtocolError where they are not there or not readable."""
        found: Found = {"": {}, **{holder: {} for holder in self._nested}}
        for step in self._steps:
            step.read(cursor, found)
        own = found[""]
        for holder, of in self._nested.items():
            own[holder] = of(**found[holder])
        return self._of(**own)
