"""What becomes of releases when a hospital leaves: each that it is inside is kept or recalled.

An exit lists those that stand when its impact is listed. Each is decided by operators, who say
on what ground it is kept; what the agreement recalls, the coordinator recalls by itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Executable, Row, insert, select, update

from governance import exits as course
from governance.exits import Decision, Step
from governance.ledger import project_releases
from governance.ledger.project_members import act
from governance.ledger.schema import exit_releases, exits, releases
from protos.errors import Refused

if TYPE_CHECKING:
    from governance.ledger.entry import Entry

GROUND = "reason"
"""The label under which the ground of a decision is disclosed."""


def inside_of(c: Connection, site: str) -> list[str]:
    """Return the releases that stand and have a site inside, by name."""
    standing = select(releases).where(releases.c.state == "published")
    rows = c.execute(standing).all()
    return sorted(row.release for row in rows if site in json.loads(row.sites))


def decided(c: Connection, exit_seq: int) -> dict[str, Decision]:
    """Return what was decided of each release that an exit lists."""
    return {row.release: Decision(row.decision) for row in listed(c, exit_seq)}


def listed(c: Connection, exit_seq: int) -> list[Row[Any]]:
    """Return the releases that an exit lists, by name."""
    mine = select(exit_releases).where(exit_releases.c.exit_seq == exit_seq)
    return list(c.execute(mine.order_by(exit_releases.c.release)))


def waiting(c: Connection, release: str) -> list[Row[Any]]:
    """Return the exits, with their sites, that wait for a decision on a release."""
    return list(
        c.execute(
            select(exits.c.seq, exits.c.site)
            .join(exit_releases, exit_releases.c.exit_seq == exits.c.seq)
            .where(exit_releases.c.release == release, exit_releases.c.decision == "")
            .order_by(exits.c.seq)
        )
    )


def checked_step(c: Connection, row: Row[Any], e: Entry) -> list[Executable]:
    """Check what a step says of releases; return the changes that follow.

    1. The impact names each release with the site inside, no other step any. Stops hiding one.
    2. The releases are settled once each is decided, and as it was. Stops closing an exit over
       a model that nobody decided on.
    """
    step, named = Step(e.body["step"]), list(e.body["releases"])
    # 1.
    if named != (inside_of(c, row.site) if step is Step.LIST else []):
        raise Refused(
            f"the releases that it names are not those with {row.site} inside",
            rule="exit-releases",
        )
    # 2.
    if step is Step.SETTLE_RELEASES:
        found = course.settled(decided(c, row.seq).values())
        if found is not Decision(e.body["decision"]):
            raise Refused("its releases were decided otherwise", rule="exit-releases")
    return [
        insert(exit_releases).values(exit_seq=row.seq, release=name, decision="")
        for name in named
    ]


def settled(c: Connection, e: Entry) -> list[Executable]:
    """Decide on a release that an exit lists.

    1. The exit of this site waits for it. Stops a decision before anybody has left.
    2. Who keeps it says on what ground. Stops a model from being kept without a reason.
    3. The coordinator by itself only recalls. Stops it from keeping a model in operators' name.
    """
    body, decision = e.body, Decision(e.body["decision"])
    standing = project_releases.find_standing(c, e)
    # 1.
    exit_seq = next(
        (r.seq for r in waiting(c, standing.release) if r.site == body["site"]), None
    )
    if exit_seq is None:
        raise Refused(
            f"no exit of {body['site']} waits for a decision on {standing.release}",
            todo=f"See what is decided: concilium-ledger exit {body['site']}",
            rule="not-to-settle",
        )
    # 2.
    if decision is Decision.KEEP and GROUND not in e.statement.commitments:
        raise Refused("a release is kept on a ground that is said", rule="keep-without-ground")
    # 3.
    own = e.statement.actor == "coordinator"
    if own and decision is not course.BY_ITSELF:
        raise Refused("the coordinator keeps no release by itself", rule="not-yours")
    changes: list[Executable] = [] if own else [act(e, "settle")]
    if decision is Decision.RECALL:
        return [*changes, *taken_back(standing.release, e)]
    mine = (exit_releases.c.exit_seq == exit_seq, exit_releases.c.release == standing.release)
    return [*changes, update(exit_releases).where(*mine).values(decision="keep", seq=e.seq)]


def taken_back(release: str, e: Entry) -> list[Executable]:
    """Return the changes of a recall: no exit waits for the release any more."""
    undecided = (exit_releases.c.release == release, exit_releases.c.decision == "")
    recall = Decision.RECALL.value
    return [
        update(releases)
        .where(releases.c.release == release)
        .values(state="recalled", recalled_seq=e.seq),
        update(exit_releases).where(*undecided).values(decision=recall, seq=e.seq),
    ]


def recalled(c: Connection, e: Entry) -> list[Executable]:
    """Take a release back, once."""
    standing = project_releases.find_standing(c, e)
    return [*taken_back(standing.release, e), act(e, "recall")]
