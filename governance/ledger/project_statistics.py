"""Statistics of patients, as the log's tables have them: what was said, and once what of it.

They change no table. Each hospital says a vector once and it is known by its commitment, so
that one that is sent again counts as the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from governance import statements
from governance.ledger import attempts, project_consents
from governance.ledger.schema import entries, reservations
from governance.normalisation import LABEL
from governance.privacy.releases import STATISTICS
from protos.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

    from governance.ledger.entry import Entry
    from governance.statements import Statement

RELEASED: Final = "statistics-released"
COMBINED: Final = "statistics-combined"


def statistics_released(c: Connection, e: Entry) -> list[Executable]:
    """Take a site's statistics.

    1. Its consent is in force, in an attempt that is known. Stops statistics of a hospital that
       withdrew.
    2. Each vector was reserved for, one by one. Stops a release that nobody counted.
    """
    # 1.
    attempts.permitted(c, e, attempts.known(c, e.body))
    # 2.
    said = {one.commitments[LABEL] for _, one in released(c, site=e.actor_name)}
    paid = select(func.count()).where(
        reservations.c.site == e.actor_name, reservations.c.purpose == STATISTICS
    )
    if len(said | {e.statement.commitments[LABEL]}) > c.execute(paid).scalar_one():
        raise Refused("no budget was reserved for these statistics", rule="no-reservation")
    return []


def statistics_combined(c: Connection, e: Entry) -> list[Executable]:
    """Take what hospitals' statistics were combined to.

    1. Their round is open. Stops statistics from being put under a model that is trained.
    2. There are none of this basis yet. Stops a second set in place of the first.
    3. They are of just what these sites said. Stops an invented hospital, and one left out.
    4. Each of these consents now. Stops statistics of a hospital that withdrew.
    """
    body = e.body
    # 1.
    attempts.of_open_attempt(c, e)
    # 2.
    if combined(c, body["basis"]) is not None:
        raise Refused("there are statistics of this basis already", rule="combined-twice")
    # 3.
    check_made_of(body, [one for _, one in released(c, basis=body["basis"])])
    # 4.
    agreed = project_consents.agreement(c, body["agreement"])
    project_consents.check_in_force(c, body["sites"], agreed, e.received_at)
    return []


def check_made_of(body: Any, said: list[Statement]) -> None:  # noqa: ANN401 -- a body
    """Check that combined statistics name the vectors of their sites, one of each."""
    known = {one.commitments[LABEL]: one.actor.partition("/")[2] for one in said}
    sites = sorted(known.get(each, "") for each in body["released"])
    if not sites or sites != sorted(body["sites"]):
        raise Refused(
            "they are not made of what these hospitals released", rule="statistics-invented"
        )


def released(
    c: Connection, *, site: str | None = None, basis: str | None = None
) -> list[tuple[int, Statement]]:
    """Return statistics that were released, each with its seq, the oldest first."""
    asked = select(entries.c.seq, entries.c.envelope).where(entries.c.kind == RELEASED)
    if site is not None:
        asked = asked.where(entries.c.site == site)
    rows = c.execute(asked.order_by(entries.c.seq))
    found = [(int(row.seq), statements.read(row.envelope)) for row in rows]
    return [(seq, one) for seq, one in found if basis is None or one.body["basis"] == basis]


def combined(c: Connection, basis: str) -> tuple[int, Statement] | None:
    """Return what the statistics of a basis were combined to, with its seq, if they were."""
    asked = select(entries.c.seq, entries.c.envelope).where(entries.c.kind == COMBINED)
    for row in c.execute(asked.order_by(entries.c.seq)):
        said = statements.read(row.envelope)
        if said.body["basis"] == basis:
            return int(row.seq), said
    return None
