"""The agent's figures for Prometheus; none of them is of a patient."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from governance import exposition
from governance.exposition import Figure
from site_agent import noticing
from site_agent.store import egress, work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from site_agent.member import Member


async def figures(members: Sequence[Member]) -> tuple[Figure, ...]:
    """Return every figure of every federation as it is now."""
    found: list[Figure] = []
    for member in members:
        ask = partial(_figures, member=member)
        found += await member.m.store.ask(ask)
    return exposition.merged(found)


def _figures(c: Connection, member: Member) -> list[Figure]:
    return [*_line(member), *_work(c, member), *_privacy(c, member), _notices(c, member)]


def _line(member: Member) -> Iterator[Figure]:
    of = (member.m.federation,)
    yield Figure(
        "gauge",
        "concilium_connected",
        "1 while the agent is connected to the coordinator.",
        ("federation",),
        {of: member.presence.connected},
    )
    yield Figure(
        "gauge",
        "concilium_certificate_expiry_timestamp_seconds",
        "When the agent's certificate ends.",
        ("federation",),
        {of: member.peer.not_after.timestamp()},
    )
    yield Figure(
        "gauge",
        "concilium_disk_free_bytes",
        "Free bytes where the agent's state lies.",
        (),
        {(): shutil.disk_usage(member.m.settings.state).free},
    )


def _work(c: Connection, member: Member) -> Iterator[Figure]:
    federation = member.m.federation
    states = work.count_by_state(c, federation)
    yield Figure(
        "gauge",
        "concilium_tasks",
        "Tasks that came, by kind and by how they stand.",
        ("federation", "kind", "state"),
        {(federation, *labels): number for labels, number in states.items()},
    )
    yield Figure(
        "counter",
        "concilium_sent_bytes",
        "Bytes of every message that left, as `sent` lists them.",
        ("federation",),
        {(federation,): egress.bytes_ever_sent(c, federation)},
    )


def _privacy(c: Connection, member: Member) -> Iterator[Figure]:
    of, spent = (member.m.cohort,), work.spent_on(c, member.m.cohort)
    yield Figure(
        "gauge",
        "concilium_epsilon",
        "ε that is spent or reserved of a cohort, over everything ever released from it.",
        ("cohort",),
        {of: float(spent[-1].epsilon_total) if spent else 0.0},
    )
    yield Figure(
        "gauge",
        "concilium_epsilon_cap",
        "The ε that this hospital's own file permits.",
        ("cohort",),
        {of: member.m.settings.policy.cap.epsilon},
    )


def _notices(c: Connection, member: Member) -> Figure:
    standing = noticing.standing(c, member.m, member.peer)
    return exposition.of_notices(standing, federation=member.m.federation)
