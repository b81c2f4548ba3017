"""Request ids that have ended: what still comes for them is ours, and means nothing."""

from __future__ import annotations

MOST = 10_000


class EndedIds:
    """The last ids that ended; bounded, the oldest go first."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[int, None] = {}

    def add(self, request_id: int) -> None:
        """It has ended."""
        self._ids[request_id] = None
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, request_id: int) -> bool:
        return request_id in self._ids
