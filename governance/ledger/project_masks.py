"""Masked sums: what the coordinator may say of their steps, and of figures that were summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.ledger import masking
from governance.ledger.attempts import asked_in, check_permitted
from governance.secagg.terms import EVALUATE
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Executable

    from governance.ledger.entry import Entry


def masking_step(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt is open, and the sites are among those that were asked.

    Stops a hospital from being added to a sum that it was never asked into.
    """
    asked = asked_in(c, e)
    if e.body["purpose"] == EVALUATE:
        asked = _opened(c, e)["sites"]
    others = {*e.body["sites"], *e.body["dropped"], *e.body["refused"]} - set(asked)
    if others:
        raise Refused(f"{min(others)} was not asked in this attempt", rule="not-asked")
    return []


def evaluation_opened(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; figures are asked for once in an open attempt, of who consents now.

    Stops figures of a hospital that withdrew, and a second sum of the same patients' figures.
    """
    asked_in(c, e)
    if masking.evaluation(c, e.body, until=e.seq) is not None:
        raise Refused("figures of this attempt are summed already", rule="second-evaluation")
    check_permitted(c, e)
    return []


def evaluation_summed(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the sum is of the model and of sites that figures were asked of."""
    asked_in(c, e)
    opened = _opened(c, e)
    if opened["model"] != e.body["model"] or not set(e.body["sites"]) <= set(opened["sites"]):
        raise Refused("the sum is of another model, or other sites", rule="not-asked")
    return []


def _opened(c: Connection, e: Entry) -> Mapping[str, Any]:
    found = masking.evaluation(c, e.body, until=e.seq)
    if found is None:
        raise Refused("no figures were asked for in this attempt", rule="not-asked")
    return found
