"""What the coordinator itself says into the ledger, signed with the ledger key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance import statements
from governance.ledger import store as ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.identity.keys import Signer, SigningKey
    from governance.statements import Log
    from protos.words import Disclosure


class Chronicle:
    """The coordinator's voice in the log; every entry joins the transaction it is given."""

    def __init__(self, log: Log, key: SigningKey, authority: Signer) -> None:
        self.log = log
        self.key = key
        self.authority = authority

    def say(
        self,
        connection: Connection,
        kind: str,
        body: Mapping[str, Any],
        *,
        now: datetime,
        disclosures: Sequence[Disclosure] = (),
    ) -> int:
        """Append a statement of the coordinator and return its seq."""
        payload = statements.compose(
            kind,
            body,
            actor="coordinator",
            key=self.key.key_id,
            chain=ledger.chain_of(connection, self.key.key_id),
            log=self.log,
            at=now,
            disclosures=disclosures,
        )
        statement = statements.read(statements.sign(payload, [self.key]))
        return ledger.append(
            connection, statement, received_at=now, disclosures=tuple(disclosures)
        )

    def certify(self, connection: Connection, body: Mapping[str, Any], *, now: datetime) -> int:
        """Append the authority's word that it issued a certificate, and return its seq."""
        payload = statements.compose(
            "certificate-issued",
            body,
            actor="authority",
            key=self.authority.key_id,
            chain=ledger.chain_of(connection, self.authority.key_id),
            log=self.log,
            at=now,
        )
        statement = statements.read(statements.sign(payload, [self.authority]))
        return ledger.append(connection, statement, received_at=now)
