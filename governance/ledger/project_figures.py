"""What was said of a model's quality: evaluations, and whether noised ones were paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select

from governance import noised
from governance.ledger import attempts
from governance.ledger.kind import Bound
from governance.ledger.prepared import Prepared
from governance.ledger.schema import evaluations, reservations
from governance.privacy.releases import METRICS
from protos.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from governance.ledger.entry import Entry

_HERE: Final = ("site", "round", "attempt")
_SAID: Final = Prepared(
    select(evaluations.c.seq).where(
        *(evaluations.c[name] == bindparam(name) for name in _HERE),
        evaluations.c.mechanism == noised.MECHANISM,
    )
)
_PAID: Final = Prepared(
    select(reservations.c.seq).where(
        *(reservations.c[name] == bindparam(name) for name in _HERE),
        reservations.c.purpose == METRICS,
    )
)
_EVALUATE: Final = Prepared(insert(evaluations), [each.name for each in evaluations.columns])


def evaluation_made(c: Connection, e: Entry) -> list[Bound]:
    """Add a site's evaluation of a candidate of a known attempt.

    1. Its consent is in force. Stops figures of a hospital that withdrew.
    2. Noised figures were reserved for, each alone. Stops a release that nobody counted.
    """
    body = e.body
    # 1.
    attempts.permitted(c, e, attempts.known(c, e.body))
    # 2.
    here = {"site": e.actor_name, "round": body["round"], "attempt": body["attempt"]}
    has_noise = body["mechanism"] == noised.MECHANISM
    if has_noise and len(_SAID.all(c, **here)) >= len(_PAID.all(c, **here)):
        raise Refused("no budget was reserved for these figures", rule="no-reservation")
    row = {name: body[name] for name in ("round", "attempt", "model", "mechanism")}
    return [Bound(_EVALUATE, {"seq": e.seq, "site": e.actor_name, **row})]
