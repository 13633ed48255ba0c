"""What a hospital's people should hear of, told to the program that site.yaml names."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from governance import notices
from governance.agreement.load import parse
from governance.consent import Consent
from governance.error_pages import remedy
from governance.notices import Listener, Notice, Teller
from site_agent import changing
from site_agent.agent import TaskState
from site_agent.standing import standing_of
from site_agent.store import notes, terms, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from governance.identity.certificate import Peer
    from site_agent.membership import Membership

CONSENT_ENDS: Final = timedelta(days=14)
CERTIFICATE_ENDS: Final = timedelta(days=29)
"""A day less than what is said: the agent renews it before."""
BUDGET: Final = 0.8


async def notify(
    m: Membership, peer: Callable[[], Peer], every_s: float = notices.LOOK_EVERY_S
) -> None:
    """Tell what begins to stand, for ever; nothing where site.yaml names no program.

    Args:
        m: This hospital in one federation.
        peer: Whom the agent's certificate names now, and until when.
        every_s: How long to wait between two looks, in seconds.
    """
    asked = m.settings.notify
    if asked is None:
        return
    listener = Listener(
        asked.run, frozenset(asked.events), "concilium-site", f"{m.site} in {m.federation}"
    )
    teller = Teller(listener, m.now)
    while True:
        found, told = await m.store.ask(partial(_look, m=m, peer=peer()))
        after = await teller.tell(found, told)
        if after != told:
            text = notices.kept(after)
            keep = partial(notes.set_note, federation=m.federation, name=notes.TOLD, value=text)
            await m.store.do(keep)
        await asyncio.sleep(every_s)


def _look(
    c: Connection, m: Membership, peer: Peer
) -> tuple[tuple[Notice, ...], frozenset[str]]:
    found = tuple(standing(c, m, peer))
    return found, notices.read(notes.note(c, m.federation, notes.TOLD))


def standing(c: Connection, m: Membership, peer: Peer) -> Iterator[Notice]:
    """Yield everything that this hospital's people should hear of now."""
    yield from _fork(c, m)
    yield from _consents(c, m)
    yield from _budget(c, m)
    yield from _certificate(m, peer)
    yield from _refused(c, m)


def _fork(c: Connection, m: Membership) -> Iterator[Notice]:
    alarm = notes.note(c, m.federation, notes.ALARM)
    if alarm:
        yield Notice(
            "fork",
            "",
            f"the ledger that this hospital was shown is not the one it holds: {alarm}",
            "concilium-site status; then concilium-site audit --evidence DIR",
        )


def _consents(c: Connection, m: Membership) -> Iterator[Notice]:
    now = m.now()
    changes = {change.new.digest: change for change in changing.waiting(c, m)}
    for offered in terms.every(c, m.federation):
        stands = standing_of(c, m.federation, offered.digest)
        state = stands.at(now)
        title = parse(offered.document).agreement.title
        change = changes.get(offered.digest)
        if change is not None:
            yield Notice(
                "consent-due",
                offered.digest,
                f"a change of «{title}» takes force on {change.due:%Y-%m-%d %H:%M} UTC",
                "concilium-site review; to refuse it: concilium-site object --reason …",
            )
        elif offered.state == "proposed" and state is Consent.PROPOSED:
            yield Notice(
                "consent-due",
                offered.digest,
                f"«{title}» waits for this hospital's answer",
                "concilium-site review, then consent or decline",
            )
        elif state is Consent.IN_FORCE and stands.until and stands.until - now < CONSENT_ENDS:
            yield Notice(
                "consent-due",
                f"{offered.digest} ends",
                f"the consent to «{title}» ends on {stands.until:%Y-%m-%d %H:%M} UTC",
                "concilium-site review, then concilium-site consent",
            )


def _budget(c: Connection, m: Membership) -> Iterator[Notice]:
    spent = work.spent_on(c, m.cohort)
    cap = m.settings.policy.cap.epsilon
    if spent and float(spent[-1].epsilon_total) >= BUDGET * cap:
        yield Notice(
            "budget-80",
            m.cohort,
            f"ε = {float(spent[-1].epsilon_total):.2f} of the cap {cap:g} is spent or reserved "
            f"of {m.cohort}",
            "concilium-site budget",
        )


def _certificate(m: Membership, peer: Peer) -> Iterator[Notice]:
    left = peer.not_after - m.now()
    if left < CERTIFICATE_ENDS:
        said = "ended" if left <= timedelta() else "ends"
        yield Notice(
            "certificate-30d",
            "",
            f"the agent's certificate {said} on {peer.not_after:%Y-%m-%d} and was not renewed",
            "concilium-site doctor",
        )


def _refused(c: Connection, m: Membership) -> Iterator[Notice]:
    newest = work.newest(c, m.federation, most=1)
    if newest and newest[0].state is TaskState.REFUSED:
        held = newest[0]
        yield Notice(
            "task-refused",
            held.task.task,
            f"task {held.task.task} was refused by the rule {held.rule}",
            remedy(held.rule) or "concilium-site status",
        )
