"""Models that leave the federation: which one, who is inside it, who has it, whether it stands.

A release is of one committed round. What is inside it follows from the rounds that made its
model, one from another, so that nobody can leave a hospital out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Executable, Row, insert, select

from governance import canonical
from governance.ledger.project_members import act
from governance.ledger.schema import handed, releases, rounds
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.ledger.entry import Entry


def published(c: Connection, e: Entry) -> list[Executable]:
    """Add a release.

    1. Its name is new. Stops one name from standing for two models.
    2. Its attempt was committed. Stops a model that the gate or a hospital's exit had ended.
    3. No exit has undone its round. Stops a model with a hospital in that training left behind.
    4. Its model is what the round made. Stops another model in its place.
    5. The rounds and sites are those inside it. Stops a hospital from being left out or added.
    """
    body = e.body
    # 1.
    if find(c, body["release"]) is not None:
        raise Refused(f"a release {body['release']} was published before", rule="release-taken")
    # 2.
    row = committed(c, int(body["round"]))
    if row is None or (row.attempt, row.agreement) != (body["attempt"], body["agreement"]):
        raise Refused(
            f"round {body['round']}, attempt {body['attempt']} of this agreement committed no "
            "model",
            rule="release-not-committed",
        )
    # 3.
    check_counts(row)
    # 4.
    if row.model_out != body["model"]:
        raise Refused("its model is not the one that its round made", rule="release-model")
    # 5.
    if inside(c, row) != (body["rounds"], body["sites"]):
        raise Refused(
            "its rounds and sites are not those inside its model", rule="release-lineage"
        )
    names = ("release", "round", "attempt", "agreement", "model", "card")
    made = {name: body[name] for name in names}
    made |= {name: canonical.encode(body[name]).decode() for name in ("rounds", "sites")}
    return [
        insert(releases).values(seq=e.seq, **made, state="published"),
        act(e, "release"),
    ]


def given(c: Connection, e: Entry) -> list[Executable]:
    """Note that somebody was given a release that stands."""
    find_standing(c, e)
    return [
        insert(handed).values(seq=e.seq, release=e.body["release"], how="given", site=""),
        act(e, "give"),
    ]


def fetched(c: Connection, e: Entry) -> list[Executable]:
    """Note that a hospital has a release, also one that was recalled meanwhile."""
    _known(c, e)
    row = {"release": e.body["release"], "how": "fetched", "site": e.actor_name}
    return [insert(handed).values(seq=e.seq, **row)]


def find(c: Connection, release: str) -> Row[Any] | None:
    """Return a release by its name."""
    return c.execute(select(releases).where(releases.c.release == release)).first()


def committed(c: Connection, number: int) -> Row[Any] | None:
    """Return the attempt of a round that committed a model."""
    return c.execute(
        select(rounds).where(rounds.c.round == number, rounds.c.state == "closed")
    ).first()


def check_counts(attempt: Row[Any]) -> None:
    """Raise Refused when an exit went back to before a committed attempt."""
    if attempt.undone_seq is not None:
        raise Refused(
            f"round {attempt.round} is undone since entry {attempt.undone_seq}: a hospital "
            "left, and training went back to before it",
            todo="Release a round that was trained since: concilium-coordinator rounds",
            rule="release-undone",
        )


def inside(c: Connection, attempt: Row[Any]) -> tuple[list[int], list[str]]:
    """Return the rounds and the sites inside the model of a committed attempt, in order."""
    path = list(path_to(c, attempt))
    sites = {site for row in path for site in json.loads(row.sites_in)}
    return sorted(row.round for row in path), sorted(sites)


def path_to(c: Connection, attempt: Row[Any]) -> Iterator[Row[Any]]:
    """Walk from a committed attempt back to the first one, over those whose model it is of."""
    row: Row[Any] | None = attempt
    while row is not None:
        yield row
        before = select(rounds).where(
            rounds.c.model_out == row.model_in,
            rounds.c.state == "closed",
            rounds.c.ended_seq < row.opened_seq,
        )
        row = c.execute(before.order_by(rounds.c.ended_seq.desc()).limit(1)).first()


def _known(c: Connection, e: Entry) -> Row[Any]:
    row = find(c, e.body["release"])
    if row is None:
        raise Refused(
            f"no release {e.body['release']} was ever published", rule="unknown-release"
        )
    if (row.model, row.agreement) != (e.body["model"], e.body["agreement"]):
        raise Refused(
            f"the release {row.release} is of another model or agreement", rule="release-model"
        )
    return row


def find_standing(c: Connection, e: Entry) -> Row[Any]:
    """Return the release that an entry speaks of, or raise Refused when it does not stand."""
    row = _known(c, e)
    if row.state != "published":
        raise Refused(
            f"the release {row.release} was recalled at entry {row.recalled_seq}",
            rule="release-recalled",
        )
    return row
