"""What the ledger, as this site holds it, decides: what the site keeps, drops and erases."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from site_agent import custody, erasing
from site_agent.store import copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from protos.words import Digest
    from site_agent.membership import Membership
    from site_agent.store.copy import Copy


async def settle(m: Membership, kept: Copy) -> None:
    """Keep or drop each control variate of which the ledger tells; forget what is erased."""
    for control in await m.store.ask(partial(custody.pending, m=m)):
        place = (control.round, control.attempt)
        ended = await kept.do(lambda c, p=place: copy.outcome(c, *p))  # type: ignore[misc]
        await m.store.do(partial(custody.settle, m=m, control=control, ended=ended))
    given_up, gone = await kept.do(partial(_undone, actor=m.voice.actor))
    if given_up:
        await m.store.do(partial(custody.restart, m=m, until=given_up))
    await erasing.forget(m, gone)


def _undone(c: Connection, actor: str) -> tuple[int, Sequence[tuple[Digest, str]]]:
    """Return up to which round training began anew, and which values were erased."""
    return copy.given_up_with(c), copy.erased(c, actor)
