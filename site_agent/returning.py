"""A hospital comes back whose certificate has ended, as after weeks without its agent.

It takes an operator's token, the agent's key, the TLS key that has ended and an officer's; no
consent, and nothing that was spent, is touched.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from governance.identity import enrolment_files, folder
from governance.identity.folder import Identity
from governance.identity.key_files import replace_private
from governance.identity.keys import SigningKey
from protos import codec
from protos.errors import Refused
from site_agent import doorbell, egress
from site_agent.membership import chosen
from site_agent.store import egress as listed
from site_agent.store import notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from governance.identity.enrolment import Token
    from protos.words import Enrolled, RenewalRequest
    from site_agent.membership import Membership


def officer(m: Membership, key: Path | None, secret: Callable[[], bytes]) -> SigningKey:
    """Return the officer's key: of the file that was named, or of site.yaml's.

    Raises:
        Refused: it is not there, or the passphrase is wrong.
    """
    path = key or m.settings.officer_key
    if path is None or not path.exists():
        raise Refused(
            "the officer's key is not on this machine, and a late renewal needs it",
            todo="Name the file that holds it: concilium-site renew TOKEN --officer-key KEY",
            rule="officer-needed",
        )
    return SigningKey.load(path, passphrase=secret())


def renew(m: Membership, token: Token, key: SigningKey) -> datetime:
    """Ask at the coordinator's enrolment port; may be broken off and begun again.

    Returns until when the new certificate holds.

    Raises:
        Refused, PeerFault, Unavailable: as the token, the network and the coordinator say.
    """
    if not token.enrolment:
        raise Refused(
            "this federation enrols by file",
            todo="concilium-site renew TOKEN --request FILE, then --response FILE.",
            rule="enrol-by-file",
        )
    from governance.ledger import remote

    asked = _request(m, token, key)
    raw = codec.renewal_request_out(asked).SerializeToString(deterministic=True)
    leaving = partial(_list, m, raw, readers=egress.COORDINATOR)
    return _take(m, asyncio.run(remote.renew(token, asked, leaving=leaving)))


def request_by_file(m: Membership, token: Token, key: SigningKey, file: Path) -> None:
    """Write the request, to be carried to the operator."""
    raw = enrolment_files.write_renewal(_request(m, token, key))
    _list(m, raw, readers="whoever holds the file")
    replace_private(file, raw)


def finish_by_file(m: Membership, response: Path) -> datetime:
    """Take the coordinator's answer from a file; return until when the certificate holds."""
    return _take(m, enrolment_files.read_response(response.read_bytes()))


def _identity(m: Membership) -> Identity:
    return Identity.load(chosen(m.settings, m.federation).folder)


def _request(m: Membership, token: Token, key: SigningKey) -> RenewalRequest:
    return folder.begin_late_renewal(_identity(m), token, officer=key, now=m.now())


def _take(m: Membership, given: Enrolled) -> datetime:
    """Put the certificate in its place, or have the agent do it that runs; return its end."""
    known, now = _identity(m), m.now()
    peer = folder.check_renewed(known, given.chain, now=now)
    if doorbell.ring(m.premises.state) is None:
        folder.finish_renewal(known, given.chain, now=now)
    else:
        text = given.chain.decode("ascii")
        m.store.now(lambda c: notes.set_note(c, m.federation, notes.CERTIFICATE, text))
        doorbell.ring(m.premises.state)
    return peer.not_after


def _list(m: Membership, raw: bytes, *, readers: str) -> None:
    """List what leaves, before it does."""
    left = egress.renewal(raw, at=m.now(), readers=readers)
    m.store.now(lambda c: listed.record(c, m.federation, left))
