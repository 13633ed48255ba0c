"""What the record says now: questions that the coordinator asks of its ledger's projections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, or_, select

from coordinator.store import kept
from governance import consent
from governance.agreement.load import parse
from governance.ledger import operators
from governance.ledger import store as ledger
from governance.ledger.prepared import Prepared
from governance.ledger.schema import (
    agreements,
    consents,
    contributions,
    cosignatures,
    disclosures,
    entries,
    evaluations,
    rounds,
)
from governance.statements import parse_time, read
from protos.words import Digest, SiteName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.agreement.load import Document

ENDED: Final = ("complete", "expired")
"""The states of an agreement that came to its end and that none superseded."""
_parse: Final = lru_cache(maxsize=32)(parse)
_IN_FORCE: Final = Prepared(
    select(agreements.c.digest)
    .where(agreements.c.state == "in-force")
    .order_by(agreements.c.proposed_seq.desc())
    .limit(1)
)
_LATEST: Final = Prepared(
    select(agreements.c.digest, agreements.c.state)
    .order_by(agreements.c.proposed_seq.desc())
    .limit(1)
)
_ENDS: Final = Prepared(
    select(consents.c.site, consents.c.agreement, consents.c.until)
    .where(
        consents.c.until != "",
        consents.c.material.in_(
            select(agreements.c.material).where(
                or_(agreements.c.state == "proposed", agreements.c.state == "in-force")
            )
        ),
        *(consents.c.state != state.value for state in sorted(consent.ENDED, key=str)),
    )
    .order_by(consents.c.site, consents.c.given_seq)
)
_LAST_ROUND: Final = Prepared(
    select(rounds.c.round, rounds.c.attempt, rounds.c.state)
    .order_by(rounds.c.round.desc(), rounds.c.attempt.desc())
    .limit(1)
)
_ARRIVALS: Final = Prepared(
    select(entries.c.site, entries.c.received_at).where(
        entries.c.kind == "contribution-made",
        entries.c.round == bindparam("round"),
        entries.c.attempt == bindparam("attempt"),
    )
)
_UPDATES: Final = Prepared(
    select(contributions.c.site, contributions.c.update_digest).where(
        contributions.c.round == bindparam("round"),
        contributions.c.attempt == bindparam("attempt"),
        contributions.c.state == "made",
    )
)
_OF_SCHEDULE: Final = Prepared(
    select(func.count().label("count"))
    .select_from(rounds)
    .where(
        rounds.c.state == "closed",
        rounds.c.undone_seq.is_(None),
        rounds.c.opened_seq
        > func.coalesce(
            select(func.max(agreements.c.changed_seq))
            .where(or_(*(agreements.c.state == state for state in ENDED)))
            .scalar_subquery(),
            -1,
        ),
    )
)
_DECLARED: Final = Prepared(
    select(consents.c.site, consents.c.declared_patients).where(
        consents.c.agreement == bindparam("agreement")
    )
)
_COSIGNED: Final = Prepared(
    select(func.max(cosignatures.c.size).label("size")).where(
        cosignatures.c.site == bindparam("site")
    )
)
_SEQ: Final = Prepared(
    select(entries.c.seq).where(entries.c.statement == bindparam("statement"))
)
"""Made once, as every step of a round asks them."""


def agreement_digests(connection: Connection, *states: str) -> list[str]:
    """Return the agreements in one of these states, oldest first."""
    return list(
        connection.execute(
            select(agreements.c.digest)
            .where(agreements.c.state.in_(states))
            .order_by(agreements.c.proposed_seq)
        ).scalars()
    )


def read_document(connection: Connection, digest: str) -> Document | None:
    """Return an agreement that this coordinator keeps."""
    raw = kept.document(connection, digest)
    return _parse(raw) if raw is not None else None


def agreement_in_force(connection: Connection) -> Document | None:
    """Return the agreement in force, if there is one."""
    row = _IN_FORCE.first(connection)
    return None if row is None else read_document(connection, row.digest)


def agreement_that_binds(connection: Connection) -> Document | None:
    """Return the agreement in force, else the last one that was: its operators' rules go on."""
    digest = operators.binding(connection)
    return None if digest is None else read_document(connection, digest)


def agreement_proposed(connection: Connection) -> Document | None:
    """Return the latest proposal, unless a later one has taken force since."""
    latest = _LATEST.first(connection)
    if latest is None or latest.state != "proposed":
        return None
    return read_document(connection, latest.digest)


def declared_patients(
    connection: Connection, agreement: str, now: datetime
) -> dict[SiteName, int]:
    """Return, for every site whose consent is in force now, its declared patients.

    Only a consent to these very bytes counts, as at the sites, or one that the site itself has
    carried over to them by acknowledging a change.
    """
    return {
        SiteName(row.site): int(row.declared_patients)
        for row in ledger.consents_in_force(connection, agreement, now)
        if row.agreement == agreement
    }


def declared_ever(connection: Connection, agreement: str) -> dict[SiteName, int]:
    """Return every site's declared patients, whatever became of its consent since."""
    rows = _DECLARED.all(connection, agreement=agreement)
    return {SiteName(row.site): int(row.declared_patients) for row in rows}


@dataclass(frozen=True, slots=True)
class EndOfConsent:
    """When a site's consent to an agreement ends by time alone."""

    site: SiteName
    agreement: Digest
    until: datetime


def ends_of_consents(connection: Connection) -> list[EndOfConsent]:
    """Return the ends of the consents that go on, to terms that are proposed or in force."""
    return [
        EndOfConsent(SiteName(row.site), Digest(row.agreement), parse_time(row.until))
        for row in _ENDS.all(connection)
    ]


def consent_states(connection: Connection, agreement: str) -> Mapping[str, str]:
    """Return every site's consent state for an agreement."""
    rows = connection.execute(
        select(consents.c.site, consents.c.state).where(consents.c.agreement == agreement)
    )
    return {row.site: row.state for row in rows}


def consent_reasons(connection: Connection, agreement: str) -> dict[str, str]:
    """Return by site what it said against an agreement, as it disclosed it with its answer."""
    rows = connection.execute(
        select(consents.c.site, disclosures.c.value)
        .join(disclosures, disclosures.c.seq == consents.c.changed_seq)
        .where(
            consents.c.agreement == agreement,
            consents.c.state.in_(("objected", "declined")),
            disclosures.c.label == "reason",
        )
    )
    return {row.site: row.value for row in rows}


def last_out(connection: Connection) -> dict[str, str]:
    """Return who was out of the last attempt that ended, and why."""
    told = connection.execute(
        select(rounds.c.sites_out)
        .where(rounds.c.state != "open")
        .order_by(rounds.c.ended_seq.desc())
        .limit(1)
    ).scalar()
    return dict(json.loads(told)) if told else {}


def closed_before(connection: Connection, later: int) -> tuple[int, int, list[str]] | None:
    """Return (round, closing seq, sites) of the round after which `later` were closed."""
    row = connection.execute(
        select(rounds.c.round, rounds.c.ended_seq, rounds.c.sites)
        .where(rounds.c.state == "closed")
        .order_by(rounds.c.ended_seq.desc())
        .offset(later)
        .limit(1)
    ).first()
    return (int(row.round), int(row.ended_seq), sites_of(row.sites)) if row else None


def last_round(connection: Connection) -> tuple[int, int, str]:
    """Return (round, attempt, state) of the last round that was opened, (0, 0, '') for none."""
    row = _LAST_ROUND.first(connection)
    return (int(row.round), int(row.attempt), row.state) if row else (0, 0, "")


def rounds_committed(connection: Connection) -> int:
    """Return how many rounds are closed."""
    count = connection.execute(
        select(func.count()).select_from(rounds).where(rounds.c.state == "closed")
    ).scalar()
    return int(count or 0)


def rounds_of_schedule(connection: Connection) -> int:
    """Return how many rounds count of the agreement in force and those it superseded."""
    return int(_OF_SCHEDULE.first(connection).count)


def recent_ends(connection: Connection, count: int) -> list[tuple[str, str]]:
    """Return (state, reason) of the last ended attempts, newest first."""
    rows = connection.execute(
        select(rounds.c.state, rounds.c.reason)
        .where(rounds.c.state != "open")
        .order_by(rounds.c.ended_seq.desc())
        .limit(count)
    )
    return [(row.state, row.reason or "") for row in rows]


def ends_by_state(connection: Connection) -> dict[str, int]:
    """Return how many attempts ended, by how."""
    rows = connection.execute(
        select(rounds.c.state, func.count().label("number"))
        .where(rounds.c.state != "open")
        .group_by(rounds.c.state)
    )
    return {row.state: row.number for row in rows}


def figures(
    connection: Connection, round_: int, attempt: int, model: Digest
) -> dict[SiteName, str]:
    """Return the figures (JSON) that sites disclosed on one candidate of an attempt."""
    rows = connection.execute(  # the first that a site said comes last, and counts
        select(evaluations.c.site, disclosures.c.value)
        .join(disclosures, disclosures.c.seq == evaluations.c.seq)
        .where(
            evaluations.c.round == round_,
            evaluations.c.attempt == attempt,
            evaluations.c.model == model,
            disclosures.c.label == "figures",
        )
        .order_by(evaluations.c.seq.desc())
    )
    return {SiteName(row.site): row.value for row in rows}


def seqs_of_consents(connection: Connection, agreement: str) -> list[int]:
    """Return the seqs of the consents that an agreement rests on."""
    rows = connection.execute(
        select(consents.c.given_seq)
        .where(consents.c.agreement == agreement, consents.c.state == "in-force")
        .order_by(consents.c.given_seq)
    )
    return [int(seq) for seq in rows.scalars()]


def sites_of(names: str | None) -> list[str]:
    """Return the sites of a projection's JSON list."""
    return list(json.loads(names)) if names else []


def entry_count(connection: Connection) -> int:
    """Return the size of the log."""
    return int(connection.execute(select(func.count()).select_from(entries)).scalar() or 0)


def arrivals(connection: Connection, round_: int, attempt: int) -> dict[SiteName, datetime]:
    """Return when each contribution of an attempt was taken."""
    rows = _ARRIVALS.all(connection, round=round_, attempt=attempt)
    return {SiteName(row.site): parse_time(row.received_at) for row in rows}


def updates(connection: Connection, round_: int, attempt: int) -> dict[SiteName, Digest]:
    """Return the update of each contribution of an attempt."""
    rows = _UPDATES.all(connection, round=round_, attempt=attempt)
    return {SiteName(row.site): Digest(row.update_digest) for row in rows}


def gate_refusals_in_a_row(connection: Connection) -> int:
    """Return how many attempts ended at the gate since the last one that did not."""
    count = 0
    for state, reason in recent_ends(connection, 3):
        if state != "abandoned" or reason != "gate":
            break
        count += 1
    return count


def statement_in_force(connection: Connection, agreement: str) -> Digest:
    """Return the digest of the statement that put an agreement in force."""
    digest = connection.execute(
        select(entries.c.statement).where(
            entries.c.kind == "agreement-in-force", entries.c.agreement == agreement
        )
    ).scalar_one()
    return Digest(digest)


def drawn_from(connection: Connection, round_: int, attempt: int) -> list[SiteName]:
    """Return the sites that an attempt's were drawn from; none where all were asked."""
    envelope = connection.execute(
        select(entries.c.envelope).where(
            entries.c.kind == "round-opened",
            entries.c.round == round_,
            entries.c.attempt == attempt,
        )
    ).scalar_one()
    return [SiteName(site) for site in read(envelope).body.get("drawn_from", [])]


def named(connection: Connection) -> frozenset[SiteName]:
    """Return who broke a rule of the sum in an abandoned attempt of the round that is next."""
    round_, _, state = last_round(connection)
    if state != "abandoned":
        return frozenset()
    ended = select(entries.c.envelope).where(
        entries.c.kind == "round-abandoned", entries.c.round == round_
    )
    said = [read(envelope).body for envelope in connection.execute(ended).scalars()]
    return frozenset(SiteName(site) for body in said for site in body.get("refused", {}))


def cosigned_size(connection: Connection, site: str) -> int:
    """Return the size of the last checkpoint that a site cosigned, 0 for none."""
    return int(_COSIGNED.first(connection, site=site).size or 0)


def statement_seq(connection: Connection, digest: str) -> int | None:
    """Return where a statement stands in the log, if it does."""
    row = _SEQ.first(connection, statement=digest)
    return None if row is None else int(row.seq)
