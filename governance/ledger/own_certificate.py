"""An operator's or auditor's own certificate: the next one is asked for as it comes to use it.

Nothing of theirs runs all the time, as an agent does. So each command looks first, from day 60
of 90 on, and goes on with the old one where the new one cannot be had yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance import terminal
from governance.identity import folder
from governance.identity.certificate import renewal_due
from governance.ledger.remote import LogLine
from protos.errors import ConciliumError, Refused

if TYPE_CHECKING:
    from datetime import datetime

    from governance.identity.folder import Identity


def current(identity: Identity, server: str, *, now: datetime) -> Identity:
    """Return an identity with its next certificate where that was due, else as it is.

    Raises:
        Refused: its certificate has ended, so that no line can be opened with it.
    """
    ends = identity.peer.not_after
    if now > ends:
        raise Refused(
            f"the certificate of {identity.actor} ended on {ends:%Y-%m-%d %H:%M} UTC",
            where=str(identity.folder),
            todo="Where the coordinator's folder lies, stop the coordinator and give: "
            f"concilium-coordinator renew {identity.folder}",
            rule="certificate-expired",
        )
    if not renewal_due(identity.peer, now):
        return identity
    try:
        with LogLine(identity, server) as line:
            chain = line.renew(folder.begin_renewal(identity, [identity.signing_key()]))
        return folder.finish_renewal(identity, chain, now=now)
    except ConciliumError as problem:
        terminal.tell(
            f"The certificate of {identity.actor} ends on {ends:%Y-%m-%d}, and the next one "
            f"could not be had: {problem.what}"
        )
        return identity
