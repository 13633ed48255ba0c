"""What an auditor asks of the log's heads: which there are, who cosigned them, who did not.

A head binds every entry before it. One that most hospitals cosigned cannot be replaced by
another history without their help.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from governance.counts import count
from governance.ledger.reading import received_at
from governance.ledger.schema import checkpoints, cosignatures, keys
from governance.ledger.witnessing import checkpoint_of
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

_HEADS: Final = ("size", "root", "last_received_at", "cosigned_by", "of", "majority")
_WITNESSES: Final = ("site", "agent_key", "cosigned", "of", "first", "last", "missing")
_NAMED_AT_MOST: Final = 5


def heads(c: Connection, *, last: int | None = None) -> Answer:
    """List the checkpoints, newest last: how far each reaches, and who cosigned it.

    Args:
        c: The ledger.
        last: How many, the newest; all if it is not said.
    """
    newest = select(checkpoints.c.size, checkpoints.c.root).order_by(checkpoints.c.size.desc())
    shown = c.execute(newest if last is None else newest.limit(last)).all()[::-1]
    signed = _cosigned(c, shown[0].size if shown else 0)
    witnesses = _witnesses(c)
    rows = []
    for size, root in shown:
        able = [site for site in witnesses if _could(witnesses[site], size)]
        who = [site for site in able if site in signed.get(size, ())]
        rows.append(
            (
                size,
                root.hex(),
                received_at(c, size - 1),
                ", ".join(who),
                len(able),
                "yes" if 2 * len(who) > len(able) else "no",
            )
        )
    in_all = int(c.execute(select(func.count()).select_from(checkpoints)).scalar_one())
    notes = [] if rows else ["No checkpoint was signed yet."]
    if len(rows) < in_all:
        newest_of = f"The newest {len(rows):,} of {count(in_all, 'checkpoint')} are shown."
        notes.append(f"{newest_of} More: --last N; every one: --all")
    facts = {"in_all": in_all}
    title = "Checkpoints and who cosigned them"
    return Answer(_HEADS, rows, title=title, notes=notes, facts=facts)


def note_of(c: Connection, size: int | None = None) -> str:
    """Return a checkpoint as a file, the newest or that of a size, with every cosignature.

    Raises:
        Refused: there is no such checkpoint.
    """
    wanted = c.execute(select(func.max(checkpoints.c.size))).scalar() if size is None else size
    found = checkpoint_of(c, wanted or 0)
    if found is None:
        raise Refused(
            "no checkpoint was signed yet" if size is None else f"no checkpoint covers {size}",
            todo="See which there are with: concilium-ledger checkpoint",
            rule="no-checkpoint",
        )
    return found


def witnessing(c: Connection) -> Answer:
    """Say of each hospital which checkpoints it cosigned, and which ones it left out."""
    sizes = c.execute(select(_SIZE).order_by(_SIZE)).scalars().all()
    rows = []
    for site, spans in sorted(_witnesses(c).items()):
        able = sum(_between(sizes, span) for span in spans)
        told = [_cosigned_in(c, site, span) for span in spans]
        done = sum(times for times, *_ in told)
        ends = [size for _, *both in told for size in both if size is not None]
        first, last = (min(ends), max(ends)) if ends else (None, None)
        gaps = _gaps(c, site, spans) if done < able else []
        rows.append((site, spans[-1][2], done, able, first, last, _few(gaps, able - done)))
    said = "`missing` are the checkpoints that a hospital could have cosigned and did not."
    return Answer(
        _WITNESSES,
        rows,
        title="Witnesses: who cosigned the checkpoints",
        notes=(said,) if rows else ("No hospital is enrolled.",),
        facts={"checkpoints": len(sizes)},
    )


_Span = tuple[int, int | None, str]
"""From which entry a key counts, until which one, and its name."""
_SIZE: Final = checkpoints.c.size


def _between(sizes: Sequence[int], span: _Span) -> int:
    """Return how many checkpoints a key could have cosigned."""
    from_seq, until, _ = span
    return (len(sizes) if until is None else bisect_right(sizes, until)) - bisect_right(
        sizes, from_seq
    )


def _within(question: Select[Any], size: ColumnElement[int], span: _Span) -> Select[Any]:
    from_seq, until, _ = span
    within = question.where(size > from_seq)
    return within if until is None else within.where(size <= until)


def _cosigned_in(c: Connection, site: str, span: _Span) -> tuple[int, int | None, int | None]:
    """Return how many checkpoints a site's key cosigned, the smallest and the largest."""
    size = cosignatures.c.size
    mine = _within(select(size).where(cosignatures.c.site == site), size, span)
    asked = mine.with_only_columns(func.count(), func.min(size), func.max(size))
    times, first, last = c.execute(asked).one()
    return int(times), first, last


def _gaps(c: Connection, site: str, spans: Sequence[_Span]) -> list[int]:
    """Return the first sizes that a site could have cosigned and did not."""
    signed = select(cosignatures.c.size).where(
        cosignatures.c.size == _SIZE, cosignatures.c.site == site
    )
    missing = select(_SIZE).where(~signed.exists()).order_by(_SIZE).limit(_NAMED_AT_MOST)
    found = [
        size for span in spans for size in c.execute(_within(missing, _SIZE, span)).scalars()
    ]
    return sorted(found)[:_NAMED_AT_MOST]


def _cosigned(c: Connection, since: int) -> Mapping[int, set[str]]:
    """Return who cosigned each checkpoint from a size on."""
    signed: dict[int, set[str]] = {}
    asked = select(cosignatures.c.size, cosignatures.c.site)
    for size, site in c.execute(asked.where(cosignatures.c.size >= since)):
        signed.setdefault(size, set()).add(site)
    return signed


def _witnesses(c: Connection) -> Mapping[str, Sequence[_Span]]:
    """Return each site's agent keys: from which entry, until which one, and its name."""
    found: dict[str, list[_Span]] = {}
    question = select(keys).where(keys.c.role == "site", keys.c.usage == "agent")
    for row in c.execute(question.order_by(keys.c.name, keys.c.from_seq)):
        found.setdefault(row.name, []).append((row.from_seq, row.until_seq, row.key_id))
    return found


def _could(spans: Sequence[_Span], size: int) -> bool:
    """Tell whether a site had a key for the head of so many entries."""
    return any(
        from_seq < size and (until is None or size <= until) for from_seq, until, _ in spans
    )


def _few(sizes: Sequence[int], in_all: int) -> str:
    shown = ", ".join(str(size) for size in sizes)
    more = in_all - len(sizes)
    return f"{shown} and {more} more" if more > 0 else shown
