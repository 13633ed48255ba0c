"""An auditor's enrolment: keys made here, a certificate from the coordinator, nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from governance.identity import enrolment, folder
from governance.ledger import remote
from protos.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from governance.identity.folder import Identity


def enrol(token_text: str, identity: Path, *, now: datetime) -> Identity:
    """Enrol an auditor with the token of its invitation.

    Raises:
        Refused: the token is another role's, the coordinator says no, or the folder is taken.
        Unavailable: nobody answers; the same command goes on later.
    """
    token = enrolment.read_token(token_text)
    if token.role != "auditor":
        raise Refused(
            f"this token is for the role {token.role}, not for an auditor",
            todo="Sites enrol with concilium-site, operators with concilium-coordinator.",
            rule="token-other-role",
        )
    request = folder.prepare(identity, token, now=now)
    return folder.finish(identity, asyncio.run(remote.enrol(token, request)), now=now)
