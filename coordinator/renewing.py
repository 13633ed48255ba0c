"""Whoever has a certificate that has ended, after weeks of silence, is given the next one.

A site comes to the door for newcomers with an operator's token. What it gets is kept with that:
the same request again is given the same certificate, and never a second one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator import starting
from coordinator.foundation import Foundation
from coordinator.newcomers import renew_member, vkey
from coordinator.store import exits, holders, kept
from governance.identity import folder
from governance.identity.certificate import peer_name, renewal_due
from governance.identity.enrolment import secret_hash
from governance.identity.late_renewal import Holder, check_late_request, digest_of
from governance.identity.names import actor
from protos.errors import Refused
from protos.words import Enrolled

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.identity.certificate import Peer
    from protos.words import RenewalRequest


def check_may(connection: Connection, name: str) -> None:
    """Check that a name is a site's that may be let in again.

    Raises:
        Refused: it is not enrolled, is revoked, or leaves or has left the federation.
    """
    if name not in holders.sites(connection):
        raise Refused(
            f"no hospital {name} is enrolled, or it is revoked",
            todo="See who is with: concilium-coordinator status",
            rule="not-enrolled",
        )
    exits.check_stays(connection, name)


def renew(base: Foundation, connection: Connection, asked: RenewalRequest) -> Enrolled:
    """Issue the certificate that follows one that has ended; entry and token's use are one.

    Raises:
        Refused: the token, a signature, the certificate or its name does not hold.
        PeerFault: the request's parts do not belong together.
    """
    now, hashed = base.now(), secret_hash(asked.secret)
    invitation = kept.invitation(connection, hashed)
    peer = check_late_request(
        asked,
        invitation=invitation,
        holder=_holder(connection, peer_name(asked.certificate)),
        log=base.chronicle.log,
        now=now,
    )
    # Not revoked, not gone, not enrolled anew since. Stops whoever was shut out.
    base.revocations.check_peer(peer)
    check_may(connection, peer.name)
    given = kept.note(connection, _kept_as(hashed))
    if not given:
        issued = base.authority.renew(asked.csr, peer, now=now)
        base.chronicle.certify(connection, issued.body, now=now)
        kept.use_invitation(connection, hashed, digest_of(asked))
        given = issued.pem_chain.decode("ascii")
        kept.set_note(connection, _kept_as(hashed), given)
    return Enrolled(given.encode("ascii"), base.authority.root_pem, vkey(base))


def renew_here(place: Path, member: Path, *, now: datetime) -> folder.Identity:
    """Give an operator or auditor the next certificate, in the coordinator's own folder.

    This is for who cannot reach the coordinator any more, since the last one has ended. The
    coordinator is stopped, and `member` is the folder of who asks, with its key.

    Raises:
        Refused: the coordinator runs, or `member` is of another federation, revoked, a site's,
            or holds a certificate that is not due.
    """
    base = Foundation.open(place)
    try:
        identity = folder.Identity.load(member)
        if identity.root != base.authority.root_fingerprint:
            raise Refused(
                f"{identity.actor} is of another federation, {identity.federation}",
                where=str(member),
                todo="Name the folder of that federation's coordinator with --folder.",
                rule="wrong-federation",
            )
        _check_due(identity, now)
        asked = folder.begin_renewal(identity, [identity.signing_key()])
        base.store.write_now(lambda c: starting.name_authority(base, c))
        given = base.store.write_now(lambda c: renew_member(base, c, identity.peer, asked))
        return folder.finish_renewal(identity, given.chain, now=now)
    finally:
        base.close_now()


def _check_due(identity: folder.Identity, now: datetime) -> None:
    if not renewal_due(identity.peer, now):
        raise Refused(
            f"the certificate of {identity.actor} holds until "
            f"{identity.peer.not_after:%Y-%m-%d %H:%M} UTC",
            todo="The first command in its last 30 days renews it by itself.",
            rule="certificate-holds",
        )


def _holder(connection: Connection, peer: Peer) -> Holder | None:
    agents, officers = holders.agent_keys(connection), holders.officer_keys(connection)
    if peer.name not in agents or peer.actor != actor("site", peer.name):
        return None
    known = holders.fingerprint(connection, peer.name, peer.serial)
    return Holder(agents[peer.name], officers[peer.name], known)


def _kept_as(hashed: str) -> str:
    return f"renewed/{hashed}"
