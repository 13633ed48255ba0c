"""A hospital's first day: its keys, and its enrolment by token or by file."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from governance import statements
from governance.identity import enrolment_files, folder
from governance.identity.enrolment import read_token
from governance.identity.key_files import replace_private
from protos import codec
from protos.errors import Refused
from site_agent import egress
from site_agent.premises import Premises
from site_agent.process import now
from site_agent.store import egress as listed
from site_agent.store import journal, letters
from site_agent.upgrading import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.identity.enrolment import Token
    from governance.identity.folder import Identity
    from governance.identity.keys import SigningKey
    from governance.settings import FederationSettings, SiteSettings
    from governance.statements import Statement
    from protos.words import EnrolRequest


def officer_key(settings: SiteSettings, secret: bytes) -> SigningKey:
    """Return the hospital's officer key, made the first time at site.yaml's `officer_key`.

    Raises:
        Refused: the file names none, or the passphrase is wrong.
    """
    if settings.officer_key is None:
        raise Refused(
            "site.yaml names no officer_key, and an enrolment is signed with it",
            todo="Add `officer_key: keys/officer.pem`; it may move to another machine later.",
            rule="officer-needed",
        )
    return folder.officer_key(settings.officer_key, secret)


def place_for(settings: SiteSettings, token: Token) -> FederationSettings:
    """Return the entry of site.yaml that a token is for.

    Raises:
        Refused: the token is another hospital's, or no entry waits for it; says what to add.
    """
    if (token.role, token.name) != ("site", settings.name):
        raise Refused(
            f"this token is for {token.role} {token.name}, but site.yaml is of site "
            f"{settings.name}",
            rule="token-for-another",
        )
    free = [one for one in settings.federations if _is_free(one.folder)]
    named = [one for one in free if one.folder.name == token.federation]
    if len(named or free) == 1:
        return (named or free)[0]
    if any(one.folder.name == token.federation for one in settings.federations):
        raise Refused(
            f"{settings.name} is enrolled in the federation {token.federation} already",
            todo="A token is used once; see how it stands with: concilium-site status",
            rule="already-enrolled",
        )
    cohort = next(iter(settings.cohorts), "COHORT")
    raise Refused(
        f"site.yaml has no entry that waits for the federation {token.federation}",
        todo=f"Add under federations:\n  - {{coordinator: {token.coordinator}, folder: "
        f"enrolled/{token.federation}, cohort: {cohort}, proxy: none}}",
        rule="no-federation",
    )


def request(settings: SiteSettings, token: str, secret: bytes) -> EnrolRequest:
    """Make all keys on this machine and return the request that enrols them."""
    known = read_token(token)
    place = place_for(settings, known)
    officer = officer_key(settings, secret)
    made = folder.prepare(place.folder, known, officers=[officer], now=now())
    _journal(settings, known.federation, made)
    return made


def enrol(settings: SiteSettings, token: str, secret: bytes) -> Identity:
    """Enrol over the coordinator's enrolment port; may be broken off and begun again.

    Raises:
        Refused, PeerFault, Unavailable: as the token, the network and the coordinator say.
    """
    known = read_token(token)
    if not known.enrolment:
        raise Refused(
            "this federation enrols by file",
            todo="concilium-site enrol TOKEN --request FILE, then --response FILE.",
            rule="enrol-by-file",
        )
    place = place_for(settings, known)
    made = request(settings, token, secret)
    raw = codec.enrol_request_out(made).SerializeToString(deterministic=True)
    from governance.ledger import remote

    leaving = partial(_list, settings, known.federation, raw, readers=egress.COORDINATOR)
    enrolled = asyncio.run(remote.enrol(known, made, leaving=leaving))
    return folder.finish(place.folder, enrolled, now=now())


def request_by_file(settings: SiteSettings, token: str, secret: bytes, file: Path) -> None:
    """Write the request that enrols this hospital, to be carried to the operator."""
    raw = enrolment_files.write_request(request(settings, token, secret))
    _list(settings, read_token(token).federation, raw, readers="whoever holds the file")
    replace_private(file, raw)


def finish_by_file(settings: SiteSettings, response: Path) -> Identity:
    """Take the coordinator's answer from a file."""
    enrolled = enrolment_files.read_response(response.read_bytes())
    waiting = [
        one for one in settings.federations if _is_free(one.folder) and one.folder.exists()
    ]
    for place in waiting:
        return folder.finish(place.folder, enrolled, now=now())
    raise Refused("no enrolment was begun here", rule="not-begun")


def dialled_otherwise(settings: SiteSettings, identity: Identity) -> str:
    """Return a warning when site.yaml dials another coordinator than the invitation's."""
    place = next(one for one in settings.federations if one.folder == identity.folder)
    if place.coordinator == identity.coordinator:
        return ""
    return (
        f"site.yaml dials {place.coordinator}, but the invitation named {identity.coordinator}."
    )


def _journal(settings: SiteSettings, federation: str, made: EnrolRequest) -> None:
    """Write the enrolment into the journal, before it leaves."""
    premises = Premises(settings.state)
    premises.prepare()
    statement = statements.read(made.statement)
    store = open_store(premises, at=now())
    try:
        store.now(partial(_keep_once, federation=federation, statement=statement))
    finally:
        store.close()


def _list(settings: SiteSettings, federation: str, raw: bytes, *, readers: str) -> None:
    """List what enrols this hospital, before it leaves."""
    left = egress.enrolment(raw, at=now(), readers=readers)
    store = open_store(Premises(settings.state), at=now())
    try:
        store.now(lambda c: listed.record(c, federation, left))
    finally:
        store.close()


def _keep_once(c: Connection, federation: str, statement: Statement) -> None:
    if journal.find(c, federation, statement.digest) is None:
        if journal.of_kind(c, federation, "enrolled"):  # it left, or its keys are replaced
            letters.begin_anew(c, federation)
        journal.keep(c, federation, statement, status=journal.ACCEPTED)


def _is_free(place: Path) -> bool:
    return not (place / "federation.json").exists()
