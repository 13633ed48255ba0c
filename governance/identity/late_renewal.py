"""The next certificate of a site whose last one has ended: no line is left to ask over.

An operator invites it, as a newcomer is, and the one-time token stands in for the session. The
request is signed by the TLS key that has ended, the agent key and an officer, and is for that
token alone. The same request may be sent again until its answer arrives.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance import dsse
from governance.identity.certificate import fingerprint, peer_name, read_chain
from governance.identity.clock import check_clock
from governance.identity.enrolment import check_invitation, secret_hash
from governance.identity.renewal import PROOF_TYPE, check_request, make_request
from protos.errors import Refused
from protos.words import CertificateRequest, Digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from governance.identity.certificate import Peer
    from governance.identity.enrolment import Invitation
    from governance.identity.keys import Signer
    from governance.statements import Log
    from protos.words import KeyId, RenewalRequest

RENEWAL: Final = "renewal"
"""What an invitation says it is for, when it is for no newcomer."""


def make_proof(
    csr: bytes, secret: bytes, *, actor: str, log: Log, signers: Sequence[Signer]
) -> bytes:
    """Return the proof for a token: by the TLS key that has ended, the agent and an officer."""
    hashed = secret_hash(secret)
    return make_request(csr, actor=actor, log=log, signers=signers, invitation=hashed).proof


def digest_of(request: RenewalRequest) -> Digest:
    """Return the digest by which a token remembers the one request that used it."""
    return Digest(hashlib.sha256(request.proof).hexdigest())


@dataclass(frozen=True, slots=True)
class Holder:
    """What the record says of a name that is enrolled, and of the certificate that it shows.

    `fingerprint` is the certificate's as it was issued to this name; empty when none was.
    """

    agent: KeyId
    officers: Sequence[KeyId]
    fingerprint: str


def check_late_request(
    request: RenewalRequest,
    *,
    invitation: Invitation | None,
    holder: Holder | None,
    log: Log,
    now: datetime,
) -> Peer:
    """Check a request in place of a certificate that has ended, and return who it is of.

    Args:
        request: What came.
        invitation: The one of the request's token, or None.
        holder: What is known of the certificate's name; None when it is not enrolled.
        log: The federation's.
        now: The present time.

    Raises:
        PeerFault: the request is malformed.
        Refused: a rule says no.
    """
    former, peer = read_chain(request.certificate)[0], peer_name(request.certificate)
    hashed = secret_hash(request.secret)
    # 1. The token, for this name, once. Stops a copied request from being sent again.
    check_invitation(
        invitation,
        request.secret,
        now=now,
        name=peer.name,
        role=peer.role,
        statement=digest_of(request),
    )
    # 2. Clocks agree. Else the certificate's times mean nothing.
    check_clock(now, request.clock)
    # 3. The name has keys, and the record has this certificate. Stops whoever was shut out, and
    #    a certificate that somebody made for himself.
    if holder is None:
        raise Refused(
            f"{peer.actor} is enrolled no more: revoked, or gone", rule="not-enrolled"
        )
    if holder.fingerprint != fingerprint(former):
        raise Refused(f"{peer.actor} never had this certificate", rule="never-issued")
    # 4. It has ended: while it holds, the session is the way. Stops a way round its rules.
    if now <= peer.not_after:
        raise Refused(
            f"the certificate of {peer.actor} holds until {peer.not_after:%Y-%m-%d %H:%M} UTC",
            todo="Start the agent: it renews its certificate by itself, over its session.",
            rule="certificate-holds",
        )
    # 5. The agent's key and an officer's, for this token. Stops a thief of one of them.
    asked, keys = (
        CertificateRequest(request.csr, request.proof),
        (holder.agent, holder.officers),
    )
    check_request(asked, peer=peer, log=log, keys=keys, now=now, invitation=hashed)
    # 6. The key of the certificate. Stops agent's and officer's keys out of a backup.
    payload, signatures = dsse.unseal(PROOF_TYPE, request.proof)
    message, certificates = dsse.pae(PROOF_TYPE, payload), {peer.key: former}
    dsse.check_signed(message, signatures, [peer.key], certificates=certificates)
    return peer
