"""A process that writes a journal: ``python -m tests.live.journal_writer PATH ENTRIES FUSE DISK``.

It goes on with the journal (or begins one), adds ENTRIES entries in all the ways there are, and closes it. Before an
entry it says ``trying N``, when something has become durable ``durable N``. DISK is ``disk`` for Python's own SQLite,
``traced`` for one whose every write, sync, truncation and removal burns the FUSE before and after, as the writer's own
steps do; ``torn`` is the same with half of a write done when the fuse is out. What entry N holds follows from N.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from papertape.live import journal as subject
from papertape.live.journal import Entry, Journal
from tests.live.crashing import Fuse, say

KINDS = ("intent", "status", "fill")
HEADER = {"run": "crashes", "numbers": [1, 2.5, None], "text": "ü"}


def expected(seq: int) -> Entry:
    """What entry ``seq`` of such a journal holds: now and then more than a page of it, now and then no text."""
    chance = random.Random(seq)
    size = chance.choice([0, 30, 200, 200, 200, 3_000, 9_000])
    body = b"\xff\x00" * (size // 2) if chance.random() < 0.1 else b"%d " % seq * (size // 4)
    return Entry(seq, 1_700_000_000_000_000_000 + seq, KINDS[seq % 3], body)


def write(journal: Journal, entries: int, step: Fuse) -> int:
    """Add entries by commit and note, with a flush now and then, saying each. Returns the number of the last."""
    last = max((entry.seq for entry in journal.entries()), default=0)
    say(f"durable {last}")
    for seq in range(last + 1, last + entries + 1):
        entry = expected(seq)
        say(f"trying {seq}")
        step()
        is_intent = entry.kind == "intent"
        added = (journal.commit if is_intent else journal.note)(entry.ts, entry.kind, entry.body)
        assert added == seq
        step()
        if seq % 7 == 0:
            journal.flush()
        if seq % 7 == 0 or is_intent:
            say(f"durable {seq}")
            step()
    return last + entries


def main(path: Path, entries: int, fuse: int, disk: str) -> None:
    """What the process does."""
    step = Fuse(fuse)
    if disk != "disk":
        from tests.live.power import Disk, connector

        subject._connect = connector(Disk(before=step, after=step, tear=disk == "torn"))  # type: ignore[assignment]
        subject.CHECKPOINT_BYTES = subject.CHECKPOINT_BYTES_MAX = 30_000  # so that some happen
    with Journal.open(path) if path.exists() else Journal.create(path, HEADER) as journal:
        last = write(journal, entries, step)
        step()
    say(f"durable {last}")
    say(f"steps {step.burnt}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
