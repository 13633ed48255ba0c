"""What an auditor asks of the log's heads: which there are, who cosigned them, who did not.

A head binds every entry before it. One that most hospitals cosigned cannot be replaced by
another history without their help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from governance.ledger.reading import received_at
from governance.ledger.schema import checkpoints, cosignatures, keys
from governance.ledger.witnessing import checkpoint_of
from governance.terminal import Answer
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

_HEADS: Final = ("size", "root", "last_received_at", "cosigned_by", "of", "majority")
_WITNESSES: Final = ("site", "agent_key", "cosigned", "of", "first", "last", "missing")
_NAMED_AT_MOST: Final = 5


def heads(c: Connection, *, last: int | None = None) -> Answer:
    """List the checkpoints, newest last: how far each reaches, and who cosigned it."""
    signed = _cosigned(c)
    witnesses = _witnesses(c)
    sizes = _sizes(c)[-last:] if last else _sizes(c)
    rows = []
    for size in sizes:
        able = [site for site in witnesses if _could(witnesses[site], size)]
        who = [site for site in able if size in signed.get(site, ())]
        root = c.execute(select(checkpoints.c.root).where(checkpoints.c.size == size))
        rows.append(
            (
                size,
                root.scalar_one().hex(),
                received_at(c, size - 1),
                ", ".join(who),
                len(able),
                "yes" if 2 * len(who) > len(able) else "no",
            )
        )
    notes = () if rows else ("No checkpoint was signed yet.",)
    return Answer(_HEADS, rows, title="Checkpoints and who cosigned them", notes=notes)


def note_of(c: Connection, size: int | None = None) -> str:
    """Return a checkpoint as a file, the newest or that of a size, with every cosignature.

    Raises:
        Refused: there is no such checkpoint.
    """
    sizes = _sizes(c)
    wanted = (sizes[-1] if sizes else 0) if size is None else size
    found = checkpoint_of(c, wanted)
    if found is None:
        raise Refused(
            "no checkpoint was signed yet" if size is None else f"no checkpoint covers {size}",
            todo="See which there are with: concilium-ledger checkpoint",
            rule="no-checkpoint",
        )
    return found


def witnessing(c: Connection) -> Answer:
    """Say of each hospital which checkpoints it cosigned, and which ones it left out."""
    signed = _cosigned(c)
    sizes = _sizes(c)
    rows = []
    for site, spans in sorted(_witnesses(c).items()):
        able = [size for size in sizes if _could(spans, size)]
        done = [size for size in able if size in signed.get(site, ())]
        gaps = [size for size in able if size not in signed.get(site, ())]
        ends = (done[0], done[-1]) if done else (None, None)
        rows.append((site, spans[-1][2], len(done), len(able), *ends, _few(gaps)))
    said = "`missing` are the checkpoints that a hospital could have cosigned and did not."
    return Answer(
        _WITNESSES,
        rows,
        title="Witnesses: who cosigned the checkpoints",
        notes=(said,) if rows else ("No hospital is enrolled.",),
        facts={"checkpoints": len(sizes)},
    )


def _sizes(c: Connection) -> list[int]:
    return list(c.execute(select(checkpoints.c.size).order_by(checkpoints.c.size)).scalars())


def _cosigned(c: Connection) -> Mapping[str, set[int]]:
    """Return the sizes that each site cosigned."""
    signed: dict[str, set[int]] = {}
    for row in c.execute(select(cosignatures.c.site, cosignatures.c.size)):
        signed.setdefault(row.site, set()).add(row.size)
    return signed


def _witnesses(c: Connection) -> Mapping[str, Sequence[tuple[int, int | None, str]]]:
    """Return each site's agent keys: from which entry, until which one, and its name."""
    found: dict[str, list[tuple[int, int | None, str]]] = {}
    question = select(keys).where(keys.c.role == "site", keys.c.usage == "agent")
    for row in c.execute(question.order_by(keys.c.name, keys.c.from_seq)):
        found.setdefault(row.name, []).append((row.from_seq, row.until_seq, row.key_id))
    return found


def _could(spans: Sequence[tuple[int, int | None, str]], size: int) -> bool:
    """Tell whether a site had a key for the head of so many entries."""
    return any(
        from_seq < size and (until is None or size <= until) for from_seq, until, _ in spans
    )


def _few(sizes: Sequence[int]) -> str:
    shown = ", ".join(str(size) for size in sizes[:_NAMED_AT_MOST])
    more = len(sizes) - _NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown
