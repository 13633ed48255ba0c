"""What happens once when the coordinator starts: its log, and what it says in the ledger."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from coordinator.store import holders
from governance import logs, statements
from governance.identity import certificate
from governance.identity.names import AUTHORITY
from governance.ledger import store as ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation

_log = structlog.get_logger("starting")


def log_to_stderr(at_work: Mapping[str, int]) -> None:
    """Write structured logs to standard error, one event a line, as JSON.

    Args:
        at_work: Round and attempt as they are when something is logged; every line has them.
    """
    logs.as_json(lambda _: at_work)


def say_started(base: Foundation, connection: Connection) -> None:
    """Enter in the ledger which software starts."""
    body = {
        "program": "concilium-coordinator",
        "version": version("concilium"),
        "os": platform.platform(terse=True),
    }
    base.chronicle.say(connection, "software-started", body, now=base.now())


def name_authority(base: Foundation, connection: Connection) -> None:
    """Enter in the ledger which issuing authority is at work, when it names another one.

    Its files are replaced before the ledger is told: a rotation that was killed in between is
    recorded here, else the new authority could vouch for nobody.
    """
    new, key, now = base.authority, base.chronicle.key, base.now()
    named = holders.authority_key(connection)
    if named == new.issuing_key.key_id:
        return
    payload = statements.compose(
        "key-rotated",
        {
            "name": AUTHORITY,
            "usage": "authority",
            "old": named,
            "new": new.issuing_key.key_id,
            "issuing": certificate.to_pem([new.issuing]).decode(),
        },
        actor="coordinator",
        key=key.key_id,
        chain=ledger.chain_of(connection, key.key_id),
        log=new.log,
        at=now,
    )
    envelope = statements.sign(payload, [key, new.issuing_key])
    ledger.append(connection, statements.read(envelope), received_at=now)
