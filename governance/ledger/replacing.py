"""Whether a hospital's lost keys may be replaced: operators asked, and its officer kept silent.

An operator's act `replace` says that the officer's key of a hospital is lost. For 72 hours any
statement of that key vetoes it: whoever has the key has not lost it. Then the name may be
enrolled once with new keys; its consents are void, and what was spent stays spent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from governance.ledger.schema import acts, entries, keys
from governance.statements import parse_time
from protos.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

ACT: Final = "replace"
VETO: Final = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Asked:
    """The last act for a name: when it was received, and the statement that vetoed it."""

    seq: int
    at: datetime
    vetoed_seq: int | None

    def check(self, name: str, now: datetime) -> None:
        """Refuse keys that come before the time is over, or after a veto."""
        if self.vetoed_seq is not None:
            raise Refused(
                f"the officer's key of {name} is in use: it signed entry {self.vetoed_seq}",
                todo="Keys that are in use are rotated by whoever has them; ask the hospital.",
                rule="replacement-vetoed",
            )
        if now < self.at + VETO:
            raise Refused(
                f"the keys of {name} may be replaced from {self.at + VETO:%Y-%m-%d %H:%M} UTC "
                "on, unless the present officer's key signs anything before",
                todo="Enrol with the same token then.",
                rule="replacement-waits",
            )


def asked(c: Connection, name: str) -> Asked | None:
    """Return the last act that asks for a name's keys to be replaced, if it is not used yet."""
    said = select(acts.c.seq, acts.c.detail, entries.c.received_at).join(
        entries, entries.c.seq == acts.c.seq
    )
    for row in c.execute(said.where(acts.c.act == ACT).order_by(acts.c.seq.desc())).all():
        if json.loads(row.detail).get("name") != name:
            continue
        after = select(entries.c.seq).where(entries.c.seq > row.seq).order_by(entries.c.seq)
        used = after.where(entries.c.kind == "enrolled", entries.c.actor == f"site/{name}")
        if c.execute(used).first() is not None:
            return None
        mine = select(keys.c.key_id).where(keys.c.name == name, keys.c.usage == "officer")
        veto = c.execute(after.where(entries.c.signer.in_(mine))).scalars().first()
        return Asked(int(row.seq), parse_time(row.received_at), veto)
    return None
