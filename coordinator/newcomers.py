"""Enrolment and renewal: who may become a member, and what the ledger says of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from coordinator.store import exits, holders, kept, outbox, record
from governance import statements
from governance.identity.enrolment import check_enrolment, secret_hash
from governance.identity.renewal import check_request
from governance.ledger import replacing
from governance.ledger import store as ledger
from governance.ledger.checkpoint import log_key
from protos.errors import Refused
from protos.words import CertificateIssued, Enrolled, Goodbye, SiteName

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from governance.identity.certificate import Peer
    from protos.words import CertificateRequest, EnrolRequest

_LOOK_EVERY: Final = timedelta(hours=1)


def enrol(base: Foundation, connection: Connection, asked: EnrolRequest) -> Enrolled:
    """Enrol a newcomer for its token; entry, certificate and the token's use are one.

    Raises:
        Refused: the token is unknown, used, expired, or for another name or role.
        PeerFault: the request's parts do not belong together.
    """
    now = base.now()
    hashed = secret_hash(asked.secret)
    statement = check_enrolment(
        asked, invitation=kept.invitation(connection, hashed), log=base.chronicle.log, now=now
    )
    name, role = str(statement.body["name"]), str(statement.body["role"])
    known = record.statement_seq(connection, statement.digest) is not None
    # The name is new or left, or this is the same request again. Stops a second hospital of
    # one name.
    taken = holders.is_enrolled(connection, name)
    if not known and taken and not exits.may_enrol_again(connection, name):
        replaced = replacing.asked(connection, name)
        if replaced is None:
            raise Refused(f"{name} is enrolled already", rule="already-enrolled")
        replaced.check(name, now)
    issued = base.authority.issue(asked.csr, name=name, role=role, now=now)
    if not known:
        envelope = statements.countersign(statement.envelope, base.authority.issuing_key)
        ledger.append(connection, statements.read(envelope), received_at=now)
        outbox.begin_anew(connection, SiteName(name))
        # Whatever was issued to the name before counts no more. Stops old keys from being let
        # in beside new ones.
        base.bar_serials(holders.serials_before_enrolment(connection, name))
        base.sessions.end(SiteName(name), Goodbye("replaced", f"{name} enrolled with new keys"))
    base.chronicle.certify(connection, issued.body, now=now)
    kept.use_invitation(connection, hashed, statement.digest)
    return Enrolled(issued.pem_chain, base.authority.root_pem, vkey(base))


def renew(
    base: Foundation, connection: Connection, site: SiteName, request: CertificateRequest
) -> CertificateIssued:
    """Issue a site's next certificate over its session; raise Refused when it is not due."""
    now = base.now()
    session = base.sessions.of(site)
    if session is None:
        raise Refused("a certificate is renewed over a live session", rule="no-session")
    agent = holders.agent_keys(connection)[site]
    officers = holders.officer_keys(connection)[site]
    check_request(
        request, peer=session.peer, log=base.chronicle.log, keys=(agent, officers), now=now
    )
    issued = base.authority.renew(request.csr, session.peer, now=now)
    base.chronicle.certify(connection, issued.body, now=now)
    return CertificateIssued(issued.pem_chain)


def renew_member(
    base: Foundation, connection: Connection, peer: Peer, request: CertificateRequest
) -> CertificateIssued:
    """Issue an operator's or auditor's next certificate, asked for by its own key.

    Raises:
        Refused: it is enrolled no more, or its certificate is not due.
        PeerFault: the request's parts do not belong together.
    """
    now = base.now()
    enrolled = {(name, role): keys for name, role, keys in holders.enrolled(connection)}
    keys = enrolled.get((peer.name, peer.role))
    if keys is None or peer.name in holders.revoked(connection):
        raise Refused(f"{peer.actor} is enrolled no more", rule="not-enrolled")
    # After the end nobody reaches this over a line: only who has the coordinator's folder.
    check_request(request, peer=peer, log=base.chronicle.log, keys=(keys[-1], keys), now=now)
    issued = base.authority.renew(request.csr, peer, now=now)
    base.chronicle.certify(connection, issued.body, now=now)
    return CertificateIssued(issued.pem_chain)


def renew_own(base: Foundation, connection: Connection) -> None:
    """Renew the coordinator's own certificate when it is due, at most one look an hour."""
    now = base.now()
    if now < base.own_certificate_looked_at + _LOOK_EVERY:
        return
    base.own_certificate_looked_at = now
    issued = base.authority.renew_coordinator(now)
    if issued is not None:
        base.chronicle.certify(connection, issued.body, now=now)


def vkey(base: Foundation) -> str:
    """Return the log's verifier key."""
    return log_key(base.chronicle.log.origin, base.chronicle.key.key_id).text
