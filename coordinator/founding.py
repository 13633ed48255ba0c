"""`init`: a federation's folder, with its authority, keys, settings and first operator."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from coordinator import newcomers, starting
from coordinator.foundation import Foundation
from coordinator.store import kept
from governance import json_schemas, statements
from governance.identity import certificate
from governance.identity import folder as identities
from governance.identity.authority import create
from governance.identity.enrolment import Token, enrolled_body, invitation_of
from governance.identity.issuing import Host
from governance.identity.names import COORDINATOR, check_name
from governance.ledger import store as ledger
from governance.yaml_values import Endpoint
from protos.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from protos.words import Digest, Enrolled

_HALF: Final = ".founding"
_MADE: Final = (
    "coordinator.yaml",
    json_schemas.file_name("coordinator"),
    "keys",
    "keys.new",
    "state",
    "operators",
)
_SETTINGS: Final = """\
# The coordinator's own file. Relative paths are from this file's folder.
coordinator: 1
federation: {federation}
host: {host}                    # the DNS name in the certificate: what hospitals dial
listen: {listen}
enrolment: {{listen: {enrolment}}}       # only open while an invitation is
database: sqlite:///state/coordinator.db    # state and ledger are one database
spool: {{folder: state/spool, quota_per_site: 4GiB}}
keep: {{models: all, updates: until-final}}
limits: {{sessions_per_site: 1, message: 4MiB, session_messages_per_second: 50}}
"""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a federation begins with; addresses are `host:port`."""

    federation: str
    host: str
    listen: str
    enrolment: str
    operator: str


def found(folder: Path, outline: Outline, *, passphrase: bytes, now: datetime) -> Digest:
    """Make a federation's folder; return the fingerprint of its root.

    What a founding that was cut off has left is cleared away first: nobody has enrolled in it.

    Raises:
        Refused: there is one already, or something of the outline is not what it must be.
    """
    _check(outline)
    half = _begin(folder)
    authority = create(
        folder,
        federation=outline.federation,
        host=outline.host,
        passphrase=passphrase,
        now=now,
    )
    settings = _SETTINGS.format(
        federation=outline.federation,
        host=outline.host,
        listen=outline.listen,
        enrolment=outline.enrolment,
    )
    json_schemas.write(folder, "coordinator")
    (folder / "coordinator.yaml").write_text(
        json_schemas.modeline("coordinator") + settings, encoding="utf-8"
    )
    base = Foundation.open(folder)
    base.store.write_now(lambda c: _begin_log(base, c, now))
    _first_operator(base, outline.operator, now)
    base.close_now()
    half.unlink()
    return authority.root_fingerprint


def _check(outline: Outline) -> None:
    """Refuse what cannot be before anything is made of it."""
    check_name(outline.federation, what="the federation's name")
    check_name(outline.operator, what="the operator's name")
    Host.parse(outline.federation, outline.host)
    options = {"--listen": outline.listen, "--enrolment": outline.enrolment}
    for option, address in options.items():
        try:
            TypeAdapter(Endpoint).validate_python(address)
        except ValidationError:
            raise Refused(
                f"{option} is {address!r}, but must be an address and a port",
                todo="For example 0.0.0.0:8443, or 127.0.0.1:8443 to try it on this machine.",
                rule="usage",
            ) from None
    if outline.listen == outline.enrolment:
        raise Refused(
            f"--listen and --enrolment are both {outline.listen}, but must be two ports",
            todo="Newcomers have no certificate yet; they enrol at a port of their own.",
            rule="usage",
        )


def _begin(folder: Path) -> Path:
    """Mark a folder as half made, once nothing of an earlier half is left in it."""
    half = folder / _HALF
    there = [folder / name for name in _MADE if (folder / name).exists()]
    if there and not half.exists():
        raise Refused(
            "there is a federation here already",
            where=str(there[0]),
            todo="Choose another folder, or run it: concilium-coordinator serve",
            rule="already-founded",
        )
    for made in there:
        if made.is_dir():
            shutil.rmtree(made)
        else:
            made.unlink()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    half.touch()
    return half


def rotate(folder: Path, which: str, *, passphrase: bytes, now: datetime) -> None:
    """Make a new issuing CA under the root.

    Raises:
        Refused: the passphrase is wrong, or there is no such key.
    """
    if which != "issuing":
        raise Refused(
            f"there is no key called {which}", todo="Say: rotate-key issuing", rule="usage"
        )
    base = Foundation.open(folder)
    base.store.write_now(lambda c: starting.name_authority(base, c))
    base.authority = base.authority.renew_issuing(passphrase, now=now)
    base.store.write_now(lambda c: starting.name_authority(base, c))
    base.close_now()


def _begin_log(base: Foundation, connection: Connection, now: datetime) -> None:
    """Write the first entry: the coordinator, its root and its issuing authority."""
    authority, key = base.authority, base.chronicle.key
    own = certificate.read_chain(authority.coordinator_tls()[1])[0]
    public = own.public_key()
    assert certificate.is_p256(public)
    body = {
        **enrolled_body(
            COORDINATOR, COORDINATOR, key=key.key_id, officers=(), tls=public, needed=0
        ),
        "issuing": certificate.to_pem([authority.issuing]).decode(),
        "origin_root": authority.root_pem.decode(),
    }
    payload = statements.compose(
        "enrolled",
        body,
        actor="coordinator",
        key=key.key_id,
        chain=statements.Chain.START,
        log=authority.log,
        at=now,
    )
    envelope = statements.sign(payload, [key, authority.issuing_key])
    ledger.append(connection, statements.read(envelope), received_at=now)
    base.chronicle.certify(connection, authority.coordinator_certificate().body, now=now)


def _first_operator(base: Foundation, name: str, now: datetime) -> None:
    """Enrol the first operator on this machine, by the same rules as anybody."""
    addresses = base.addresses
    token = Token(
        federation=base.federation,
        role="operator",
        name=name,
        root=base.chronicle.log.root,
        enrolment=addresses["enrolment"],
        coordinator=addresses["coordinator"],
        secret=secrets.token_bytes(32),
    )
    place = base.folder / "operators" / name
    asked = identities.prepare(place, token, now=now)

    def change(connection: Connection) -> Enrolled:
        invitation = invitation_of(token, expires=now + timedelta(hours=1))
        kept.invite(connection, invitation)
        enrolled = newcomers.enrol(base, connection, asked)
        kept.forget_invitation(connection, invitation.secret_hash)  # nobody dials for it
        return enrolled

    identities.finish(place, base.store.write_now(change), now=now)
