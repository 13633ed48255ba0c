"""Enrolment by file, the operator's half: a request in, a response out.

A hospital that may open no second port writes its request into a file; an operator hands it to
the running coordinator, which checks it as if it had come over the wire, and brings the answer
back. The response holds nothing secret.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from governance import statements
from governance.identity import enrolment_files
from governance.identity.certificate import peer_name
from governance.identity.key_files import replace_public
from protos.errors import ConciliumError, Refused

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from coordinator.console import Console
    from protos.words import EnrolRequest


def enrol(
    console: Console, request: Path, response: Path, *, role: str, name: str, now: datetime
) -> None:
    """Have the newcomer of a file enrolled, and write what it is given into another.

    A file tells no time of its own, so that the clock compared is the operator's: the time of
    the newcomer's statement must not be ahead of the coordinator's.

    Raises:
        Refused: the file is none, is for somebody else, or the coordinator says no.
        Unavailable: the coordinator cannot be reached.
    """
    asked = read(request)
    body = statements.read(asked.statement).body
    if (body.get("role"), body.get("name")) != (role, name):
        raise Refused(
            f"this request is of {body.get('role')} {body.get('name')}, not of {role} {name}",
            where=str(request),
            rule="request-of-another",
        )
    enrolled = console.enrol(replace(asked, clock=now))
    replace_public(response, enrolment_files.write_response(enrolled))


def renew(console: Console, request: Path, response: Path, *, name: str, now: datetime) -> None:
    """Have the hospital of a file given its next certificate, written into another.

    Raises:
        Refused: the file is none, is for somebody else, or the coordinator says no.
        Unavailable: the coordinator cannot be reached.
    """
    try:
        asked = enrolment_files.read_renewal(request.read_bytes())
        peer = peer_name(asked.certificate)
    except ConciliumError:
        raise Refused(
            "this is no request for a renewal",
            where=str(request),
            todo="The hospital writes it: concilium-site renew TOKEN --request FILE",
            rule="bad-enrolment",
        ) from None
    if (peer.role, peer.name) != ("site", name):
        raise Refused(
            f"this request is of {peer.role} {peer.name}, not of site {name}",
            where=str(request),
            rule="request-of-another",
        )
    given = console.renew(replace(asked, clock=now))
    replace_public(response, enrolment_files.write_response(given))


def read(request: Path) -> EnrolRequest:
    """Read a newcomer's request.

    Raises:
        Refused: it is none.
    """
    try:
        return enrolment_files.read_request(request.read_bytes())
    except ConciliumError:
        raise Refused(
            "this is no enrolment request",
            where=str(request),
            todo="The hospital writes it: concilium-site enrol TOKEN --request FILE",
            rule="bad-enrolment",
        ) from None
