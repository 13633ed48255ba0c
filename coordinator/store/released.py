"""What a release rests on: questions that the coordinator asks of its ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select

from coordinator.store import holders, measured, quality, record
from governance import noised, normalisation, statements
from governance.ledger import project_releases, project_settling, spending
from governance.ledger import store as ledger
from governance.ledger.schema import (
    checkpoints,
    contributions,
    disclosures,
    entries,
    evaluations,
    releases,
    reservations,
)
from governance.subgroups import LABEL
from protos.words import Digest, ProvenEntry, SiteName
from protos.words_operator import ReleasesReport, ReleaseStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from coordinator.store.quality import Summed
    from governance.agreement.load import Document
    from governance.exits import Decision
    from governance.figures import Figures
    from governance.ledger.spending import Cohort
    from governance.normalisation import Scales


@dataclass(frozen=True, slots=True)
class Inside:
    """What is inside the model of a committed round, by the record up to its closing."""

    round: int
    attempt: int
    agreement: Digest
    model: Digest
    closed_seq: int
    rounds: list[int]
    sites: list[SiteName]
    patients: Mapping[SiteName, int]
    spent: Mapping[SiteName, list[Cohort]]
    figures: Mapping[SiteName, Figures]
    scales: Scales | None = None
    subgroups: Mapping[SiteName, str] = field(default_factory=dict)
    """What each site disclosed by subgroup, as JSON; of figures in `figures` alone."""
    summed: Summed | None = None
    """Figures of all sites together, where nobody read one hospital's."""


def inside(c: Connection, number: int) -> Inside | None:
    """Return what is inside the model of a round; None where it committed none."""
    row = project_releases.committed(c, number)
    if row is None:
        return None
    rounds, sites = project_releases.inside(c, row)
    told = _told(c, row)
    document = record.read_document(c, row.agreement)
    assert document is not None
    return Inside(
        round=row.round,
        attempt=row.attempt,
        agreement=Digest(row.agreement),
        model=Digest(row.model_out),
        closed_seq=row.ended_seq,
        rounds=rounds,
        sites=[SiteName(site) for site in sites],
        patients=_patients(c, sites, row.ended_seq),
        spent=_spent(c, sites, row.ended_seq),
        figures={
            site: noised.read(said["figures"], document.agreement)
            for site, said in told.items()
        },
        scales=_scales(c, document),
        subgroups={site: said[LABEL] for site, said in told.items() if LABEL in said},
        summed=quality.summed(c, row.round, row.attempt, Digest(row.model_out)),
    )


def _scales(c: Connection, document: Document) -> Scales | None:
    """Return what quantities are normalised by; None for the agreement's references."""
    if not document.agreement.statistics_federated:
        return None
    return measured.scales(c, normalisation.basis_of(document.agreement))


def _patients(c: Connection, sites: Iterable[str], until: int) -> dict[SiteName, int]:
    """Return the declared patients of each site, as its last contribution says."""
    rows = c.execute(
        select(contributions.c.site, entries.c.envelope)
        .join(entries, entries.c.seq == contributions.c.seq)
        .where(contributions.c.site.in_(list(sites)), contributions.c.seq < until)
        .order_by(contributions.c.seq)
    )
    said = {row.site: statements.read(row.envelope).body for row in rows}
    return {SiteName(site): int(body["declared_patients"]) for site, body in said.items()}


def _spent(c: Connection, sites: Iterable[str], until: int) -> dict[SiteName, list[Cohort]]:
    """Return what each site had reserved from its cohorts."""
    every = spending.Spending()
    rows = c.execute(
        select(reservations.c.site, reservations.c.seq, entries.c.envelope)
        .join(entries, entries.c.seq == reservations.c.seq)
        .where(reservations.c.site.in_(list(sites)), reservations.c.seq < until)
        .order_by(reservations.c.seq)
    )
    for row in rows:
        every.take(row.site, spending.read(row.seq, statements.read(row.envelope).body))
    found: dict[SiteName, list[Cohort]] = {}
    for (site, _), cohort in sorted(every.cohorts.items()):
        found.setdefault(SiteName(site), []).append(cohort)
    return found


def _told(c: Connection, attempt: Row[Any]) -> dict[SiteName, dict[str, str]]:
    """Return what sites disclosed on the model before its round was closed, by label."""
    rows = c.execute(
        select(evaluations.c.site, evaluations.c.seq, disclosures.c.label, disclosures.c.value)
        .join(disclosures, disclosures.c.seq == evaluations.c.seq)
        .where(
            evaluations.c.round == attempt.round,
            evaluations.c.attempt == attempt.attempt,
            evaluations.c.model == attempt.model_out,
            evaluations.c.seq < attempt.ended_seq,
        )
    )
    said: dict[tuple[int, SiteName], dict[str, str]] = {}
    for row in rows:
        said.setdefault((row.seq, SiteName(row.site)), {})[row.label] = row.value
    whole = {place: told for place, told in said.items() if "figures" in told}
    # the first that a site said comes last, and counts
    return {site: whole[seq, site] for seq, site in sorted(whole, reverse=True)}


def check_counts(c: Connection, number: int) -> None:
    """Raise Refused when an exit went back to before a round that committed a model."""
    row = project_releases.committed(c, number)
    if row is not None:
        project_releases.check_counts(row)


def release(c: Connection, name: str) -> Row[Any] | None:
    """Return a release by its name."""
    return project_releases.find(c, name)


def settling(c: Connection, name: str, site: str, decision: Decision) -> dict[str, Any]:
    """Return what an entry says that decides on a release at a site's exit."""
    row = project_releases.find(c, name)
    assert row is not None, name
    about = {"agreement": row.agreement, "release": name, "model": row.model}
    return {**about, "site": site, "decision": decision.value}


def report(c: Connection) -> ReleasesReport:
    """Return every release, the oldest first."""
    return ReleasesReport(
        tuple(
            ReleaseStatus(
                row.release,
                row.round,
                Digest(row.agreement),
                Digest(row.model),
                row.state,
                row.seq,
                tuple(SiteName(one.site) for one in project_settling.waiting(c, row.release)),
            )
            for row in c.execute(select(releases).order_by(releases.c.seq))
        )
    )


def is_released(c: Connection, model: str) -> bool:
    """Tell whether a model is that of a release that was not recalled."""
    mine = select(releases.c.seq).where(
        releases.c.model == model, releases.c.state == "published"
    )
    return c.execute(mine).first() is not None


def agreement_at(c: Connection, seq: int) -> Digest | None:
    """Return the last agreement that took force before an entry."""
    digest = c.execute(
        select(entries.c.agreement)
        .where(entries.c.kind == "agreement-in-force", entries.c.seq < seq)
        .order_by(entries.c.seq.desc())
        .limit(1)
    ).scalar()
    return None if digest is None else Digest(digest)


def witnessed(c: Connection, seq: int, roster: Iterable[str]) -> tuple[int, set[str], int]:
    """Return the first checkpoint over an entry that more than half of a roster cosigned.

    Returns its size (0 where there is none yet), who cosigned the best one, and how many of the
    roster are in force.
    """
    in_force = set(roster) - holders.revoked(c)
    sizes = select(checkpoints.c.size).where(checkpoints.c.size > seq)
    best: set[str] = set()
    for size in c.execute(sizes.order_by(checkpoints.c.size)).scalars():
        signed = in_force & ledger.cosigners(c, size).keys()
        if 2 * len(signed) > len(in_force):
            return size, signed, len(in_force)
        best = max(best, signed, key=len)
    return 0, best, len(in_force)


def proven(c: Connection, seqs: Iterable[int], size: int) -> tuple[ProvenEntry, ...]:
    """Return entries in order, each with the proof that it is under a checkpoint."""
    wanted = sorted({seq for seq in seqs if seq < size})
    rows = c.execute(
        select(entries.c.seq, entries.c.received_at, entries.c.envelope)
        .where(entries.c.seq.in_(wanted))
        .order_by(entries.c.seq)
    ).all()
    return tuple(
        ProvenEntry(
            row.seq, row.received_at, row.envelope, tuple(ledger.inclusion(c, row.seq, size))
        )
        for row in rows
    )


def keys_of(c: Connection, sites: Iterable[str]) -> list[int]:
    """Return the entries that brought in, turned or ended the keys that a release rests on.

    The coordinator's, every operator's and these sites'; and whoever was revoked.
    """
    actors = ["coordinator", *(f"site/{name}" for name in sites)]
    mine = select(entries.c.seq).where(
        entries.c.kind.in_(("enrolled", "key-rotated")),
        entries.c.actor.in_(actors) | entries.c.actor.startswith("operator/"),
    )
    barred = [
        row.seq
        for row in c.execute(
            select(entries.c.seq, entries.c.envelope).where(entries.c.kind == "revoked")
        )
        if statements.read(row.envelope).body["name"] in set(sites)
    ]
    return [*c.execute(mine).scalars(), *barred]


def in_force_seq(c: Connection, agreement: str) -> int:
    """Return the entry by which an agreement took force."""
    return int(
        c.execute(
            select(entries.c.seq).where(
                entries.c.kind == "agreement-in-force", entries.c.agreement == agreement
            )
        ).scalar_one()
    )
