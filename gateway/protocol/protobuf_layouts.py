"""The language of the protobuf tables, and how a table becomes a reader of messages.

A table says for every field of a protobuf message where its value goes in ours. Values are read by the kinds of the text
layouts, from the text that a client would have sent, so that both ways mean and refuse the same, and what is not set is
what an empty field of text is. A field that is set and in no table is refused: nobody's order loses a term on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_type_hints

from gateway.protocol.layouts import Found
from gateway.protocol.wire import NUMBER_CHARACTERS_MAX, TEXT, Kind, ProtocolError

REPEATED_MAX = 10_000
"""Most values of one repeated field, as many as a request in text may have fields."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: field ``name`` of the message is attribute ``path`` of ours (``"rows"``, ``"contract.symbol"``)."""

    name: str
    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Unused:
    """Fields that may be set and mean nothing here: the text of the same request does not have them either."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """A message within the message, whose fields are laid out here too; where it is absent all of them are unset."""

    name: str
    items: Items


@dataclass(frozen=True, slots=True)
class Maybe:
    """A message within the message that becomes an object, or None where it is absent."""

    name: str
    path: str
    of: type
    items: Items


@dataclass(frozen=True, slots=True)
class Group:
    """Repeated messages that become a tuple of objects. One field of each may go to a tuple ``aside`` instead.

    That tuple is empty where no message has the field, and else as long as the group.
    """

    name: str
    path: str
    of: type
    items: Items
    aside: Value | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """A repeated field that becomes a tuple."""

    name: str
    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map that becomes a tuple of names with values, in the order of the names: a map itself has none."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Options:
    """A map that becomes a text ``name=value;``, in the same order."""

    name: str
    path: str


Item: TypeAlias = Value | Unused | Within | Maybe | Group | Values | Pairs | Options
Items: TypeAlias = tuple[Item, ...]
_Read: TypeAlias = Callable[[Any, Found], None]


def text_of(value: Any) -> str:
    """A value as a client writes it in a field of text."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return repr(value) if isinstance(value, float) else str(value)


def _value(where: str, kind: Kind, value: Any) -> Any:
    text = text_of(value)
    if "\0" in text:
        raise ProtocolError(f"{where} holds a NUL, which no text of TWS can")
    try:
        return kind.read(text)
    except ValueError:
        shown = text if len(text) <= NUMBER_CHARACTERS_MAX else text[:NUMBER_CHARACTERS_MAX] + "..."
        raise ProtocolError(f"{where} is {shown!a}, which is no {kind.name}") from None


def _counted(where: str, held: Any) -> Any:
    if len(held) > REPEATED_MAX:
        raise ProtocolError(f"{where} has {len(held)} values; {REPEATED_MAX} are allowed")
    return held


def _sorted(where: str, held: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    pairs = sorted(_counted(where, held).items())
    return tuple((_value(where, TEXT, name), _value(where, TEXT, value)) for name, value in pairs)


def _split(path: str) -> tuple[str, str]:
    holder, _, name = path.rpartition(".")
    return holder, name


def _paths(items: Items) -> list[str]:
    paths = []
    for item in items:
        match item:
            case Unused():
                continue
            case Within(_, inner):
                paths += _paths(inner)
            case Group(aside=Value(path=aside)):
                paths += [item.path, aside]
            case _:
                paths.append(item.path)
    return paths


class Reader:
    """Reads messages of one layout into new objects of a class."""

    __slots__ = ("_nested", "_of", "_reads", "_required", "_unknown", "_unset")

    def __init__(self, of: type, items: Items, unknown: Callable[[Any], int | None], where: str = "") -> None:
        """``unknown`` gives the number of a field that a message has and its class does not know, or None."""
        hints = get_type_hints(of)
        holders = dict.fromkeys(holder for holder, _ in map(_split, _paths(items)) if holder)
        self._of = of
        self._unknown = unknown
        self._nested = {holder: hints[holder] for holder in holders}
        self._unset: list[tuple[str, str, Any]] = []
        self._required: list[tuple[str, str, str]] = []
        self._reads = self._table(items, where)

    def read(self, message: Any) -> Any:
        """The object. Raises ProtocolError where a field is not what it should be, or a necessary one is not set."""
        found: Found = {"": {}, **{holder: {} for holder in self._nested}}
        for holder, name, value in self._unset:
            found[holder][name] = value
        self._take(self._reads, message, found, "")
        for holder, name, field in self._required:
            if name not in found[holder]:
                raise ProtocolError(f"it has no {field}")
        own = found[""]
        for holder, of in self._nested.items():
            own[holder] = of(**found[holder])
        return self._of(**own)

    def _take(self, reads: Mapping[str, _Read], message: Any, found: Found, where: str) -> None:
        number = self._unknown(message)
        if number is not None:
            raise ProtocolError(f"it has field {where}{number}, which the installed ibapi does not know")
        for field, value in message.ListFields():
            read = reads.get(field.name)
            if read is None:
                raise ProtocolError(f"{where}{field.name} is set, which this gateway does not know")
            read(value, found)

    def _table(self, items: Items, where: str) -> dict[str, _Read]:
        reads: dict[str, _Read] = {}
        for item in items:
            if isinstance(item, Unused):
                reads.update(dict.fromkeys(item.names, lambda value, found: None))
            else:
                reads[item.name] = self._read_of(item, where + item.name)
        return reads

    def _read_of(self, item: Item, where: str) -> _Read:
        match item:
            case Value(_, path, kind):
                return self._value_read(path, kind, where)
            case Within(_, items):
                reads = self._table(items, f"{where}.")
                return lambda message, found: self._take(reads, message, found, f"{where}.")
            case Maybe(_, path, of, items):
                one = Reader(of, items, self._unknown, f"{where}.")
                return self._kept(path, None, one.read)
            case Group():
                return self._group_read(item, where)
            case Values(_, path, kind):
                return self._kept(
                    path, (), lambda held: tuple(_value(where, kind, each) for each in _counted(where, held))
                )
            case Pairs(_, path):
                return self._kept(path, (), lambda held: _sorted(where, held))
            case Options(_, path):
                return self._kept(path, "", lambda held: "".join(f"{n}={v};" for n, v in _sorted(where, held)))
            case _:
                raise TypeError(f"{item!r} reads nothing")

    def _kept(self, path: str, unset: Any, make: Callable[[Any], Any]) -> _Read:
        holder, name = _split(path)
        self._unset.append((holder, name, unset))

        def read(value: Any, found: Found) -> None:
            found[holder][name] = make(value)

        return read

    def _value_read(self, path: str, kind: Kind, where: str) -> _Read:
        holder, name = _split(path)
        try:
            self._unset.append((holder, name, kind.read("")))
        except ValueError:  # this kind must be there
            self._required.append((holder, name, where))

        def read(value: Any, found: Found) -> None:
            found[holder][name] = _value(where, kind, value)

        return read

    def _group_read(self, item: Group, where: str) -> _Read:
        holder, name = _split(item.path)
        aside = item.aside
        self._unset.append((holder, name, ()))
        if aside is None:
            one = Reader(item.of, item.items, self._unknown, f"{where}.")
            return self._kept(item.path, (), lambda held: tuple(map(one.read, _counted(where, held))))
        one = Reader(item.of, (*item.items, Unused((aside.name,))), self._unknown, f"{where}.")
        beside, column = _split(aside.path)
        field, kind = aside.name, aside.kind
        self._unset.append((beside, column, ()))

        def read(held: Any, found: Found) -> None:
            found[holder][name] = tuple(map(one.read, _counted(where, held)))
            if any(each.HasField(field) for each in held):
                found[beside][column] = tuple(
                    _value(f"{where}.{field}", kind, getattr(each, field)) if each.HasField(field) else kind.read("")
                    for each in held
                )

        return read
