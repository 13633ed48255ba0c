"""A member's next certificate: asked for over its session from day 60, with the agent key too.

TLS proves the present TLS key, the request proves the new one, and a signature of the agent key
shows that whoever stole the TLS key alone gets no further. After the end of a certificate an
officer signs as well: `late_renewal`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from governance import canonical, dsse
from governance.identity.certificate import renewal_due
from protos.errors import PeerFault, Refused
from protos.words import CertificateRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from governance.identity.certificate import Peer
    from governance.identity.keys import Signer
    from governance.statements import Log
    from protos.words import KeyId

PROOF_TYPE: Final = "application/vnd.concilium.certificate-request+json"


def make_request(
    csr: bytes, *, actor: str, log: Log, signers: Sequence[Signer], invitation: str = ""
) -> CertificateRequest:
    """Return a request for a new TLS key, signed by the agent (and, when late, an officer).

    `invitation` is the hash of the one-time token that a late one comes with.
    """
    payload = _payload(csr, actor, log, invitation)
    return CertificateRequest(csr, dsse.seal(PROOF_TYPE, payload, signers))


def check_request(
    request: CertificateRequest,
    *,
    peer: Peer,
    log: Log,
    keys: tuple[KeyId, Sequence[KeyId]],
    now: datetime,
    invitation: str = "",
) -> None:
    """Check a renewal before a certificate is issued; raise Refused naming the rule.

    Args:
        request: What came.
        peer: Who asks, by its present certificate.
        log: The federation's.
        keys: The agent key and the officer keys enrolled for this name.
        now: The present time.
        invitation: The hash of the token that it comes with; empty over a session.
    """
    # 1. Not early. Stops a peer from having certificates made without end.
    if not renewal_due(peer, now):
        raise Refused(f"the certificate of {peer.actor} is not due yet", rule="renewal-early")
    # 2. The proof is for this request. Stops an old one from being sent again.
    payload, signatures = dsse.unseal(PROOF_TYPE, request.proof)
    if payload != _payload(request.csr, peer.actor, log, invitation):
        raise PeerFault("the proof is for another certificate request", rule="bad-proof")
    # 3. The agent key. Stops a thief of the TLS key alone.
    agent, officers = keys
    message = dsse.pae(PROOF_TYPE, payload)
    dsse.check_signed(message, signatures, [agent])
    # 4. An officer, after the end. Stops a machine put away from coming back by itself.
    if now > peer.not_after:
        signed = [key for key in officers if key in signatures]
        if not signed:
            raise Refused(
                f"the certificate of {peer.actor} has ended; an officer must sign its renewal",
                rule="officer-needed",
            )
        dsse.check_signed(message, signatures, signed)


def _payload(csr: bytes, actor: str, log: Log, invitation: str) -> bytes:
    late = {"invitation": invitation} if invitation else {}
    return canonical.encode(
        {
            "actor": actor,
            "csr": hashlib.sha256(csr).hexdigest(),
            "federation": log.federation,
            "root": log.root,
            **late,
        }
    )
