"""An update that came too late for its round and counts in the next, as the log has it.

It is trained from the model of the round that went on without its hospital, and paid for by
that round's reservation. The contribution says so by `trained_in`; all else of it is of the
round in which it counts, where it takes the place of the hospital's own training.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, bindparam, select

from governance.ledger import attempts
from governance.ledger.prepared import Prepared
from governance.ledger.schema import rounds
from governance.stragglers import LATE
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

TRAINED_IN: Final = "trained_in"

_CLOSED: Final = Prepared(
    select(rounds).where(rounds.c.round == bindparam("round"), rounds.c.state == "closed"),
    kept=True,
)


def is_late(body: Mapping[str, Any]) -> bool:
    """Tell whether a contribution is of an update that was trained for the round before."""
    return TRAINED_IN in body


def was_late(contribution: Row[Any]) -> bool:
    """Tell whether a contribution in the log is of such an update."""
    return bool(contribution.trained_in != contribution.round)


def base_of(c: Connection, site: str, body: Mapping[str, Any]) -> str:
    """Return the model that a contribution to an attempt in the log is to start from.

    Raises:
        Refused: it says that it was late, and no such update counts here.
    """
    attempt = attempts.known(c, body)
    return str(origin(c, site, attempt, body).model_in)


def origin(c: Connection, site: str, attempt: Row[Any], body: Mapping[str, Any]) -> Row[Any]:
    """Return the attempt that an update was trained in: the one it counts in, or one before.

    1. It is of the round just before. Stops an update of long ago.
    2. That round went on under the same agreement without this site, which was late. Stops a
       hospital from counting twice, or under terms that it did not train by.
    3. The model that it made is the one gone on from. Stops what an exit has undone.
    """
    if not is_late(body):
        return attempt
    before: Row[Any] | None = _CLOSED.first(c, round=body[TRAINED_IN])
    # 1.
    if before is None or before.round != attempt.round - 1:
        raise Refused("it was not trained in the round before", rule="late-update")
    # 2.
    out = json.loads(before.sites_out or "{}")
    if before.agreement != attempt.agreement or out.get(site) != LATE:
        raise Refused(f"{site} was not late in round {before.round}", rule="late-update")
    # 3.
    if (before.model_out, before.state_out) != (attempt.model_in, attempt.state_in):
        raise Refused("what its round made is not gone on from", rule="late-update")
    return before
