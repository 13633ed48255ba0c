"""Fetching a released model: nothing of it is used before this hospital has checked it itself.

The release must stand in this site's own copy of the ledger, which the agent has verified and
cosigned; the proofs that come with it must lead to the same history; and the hospital must have
consented to the agreement that the model comes from, and not have withdrawn.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from governance.consent import Consent
from governance.identity import names
from governance.identity.folder import Identity
from governance.ledger import release_folder, release_proof
from protos.errors import Refused, Unavailable
from site_agent import doorbell, transfers, voice
from site_agent.egress import Egress
from site_agent.link import Address, Link
from site_agent.member import papers_of
from site_agent.membership import chosen
from site_agent.process import forget_proxies
from site_agent.released import check_stands, in_copy
from site_agent.standing import standing_of
from site_agent.store import journal, notes, releases, terms
from site_agent.voice import Saying

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.release_proof import Proven
    from protos.words import ReleaseParts
    from site_agent.membership import Membership
    from site_agent.store.releases import Release

_PATIENCE_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.5
_NEVER_OR_ENDED: Final = {
    Consent.PROPOSED: "did not consent to",
    Consent.DECLINED: "declined",
    Consent.WITHDRAWN: "withdrew from",
}
_tick = threading.Event()


def fetch(m: Membership, name: str) -> Path:
    """Fetch a release into this site's own folder, check all of it, and say so in the ledger.

    Raises:
        Refused: this hospital did not consent to what it comes from, it was recalled, or it is
            not what this site's copy of the ledger says.
        Unavailable: the coordinator is not reached, or this site's copy is not that far yet.
    """
    names.check_name(name, what="the release's name")
    parts = asyncio.run(_asked(m, name))
    proven = release_proof.check(parts)
    check_consent(m, proven.agreement.digest)
    _check_copy(m, name, parts, proven)
    place = m.premises.releases / name
    model = asyncio.run(_downloaded(m, parts))
    release_folder.write(parts, model, place)
    model.unlink()
    m.store.now(partial(_say, m=m, proven=proven, name=name))
    doorbell.ring(m.premises.state)
    return place


def check_consent(m: Membership, agreement: str) -> None:
    """Check that this hospital consented to an agreement and has not withdrawn, or refuse.

    A consent that came to its end by time, or was followed by another, gave its patients' part
    and leaves the hospital what was made of it.
    """
    known, standing = m.store.look(
        lambda c: (
            terms.find(c, m.federation, agreement),
            standing_of(c, m.federation, agreement),
        )
    )
    state = Consent.PROPOSED if known is None else standing.state
    if state in _NEVER_OR_ENDED:
        raise Refused(
            f"{m.site} {_NEVER_OR_ENDED[state]} the agreement {agreement[:12]}, from which "
            "this model comes",
            todo="Its models are for the hospitals that take part: concilium-site status",
            rule="fetch-without-consent",
        )


def _check_copy(m: Membership, name: str, parts: ReleaseParts, proven: Proven) -> None:
    # 1. No alarm. Stops using what a forked log says.
    if m.store.look(lambda c: notes.note(c, m.federation, notes.ALARM)):
        raise Refused(
            "this site found the ledger altered, so nothing that it says is used",
            todo="See concilium-site status.",
            rule="integrity-alarm",
        )
    # 2. This site's own copy has the release, and it stands. Stops a model that was recalled.
    release = _awaited(m, name)
    check_stands(release)
    # 3. It is the same statement, of the same history. Stops one made for this site alone.
    said = in_copy(m, lambda c: releases.statement_of(c, proven.published.seq))
    head = proven.head
    same = in_copy(m, lambda c: releases.agrees(c, head.size, head.root))
    told = (parts.release, parts.model.digest, said)
    if not same or told != (name, release.model, proven.published.statement.digest):
        raise Refused(
            "what the coordinator sent is not the release of this site's copy of the ledger",
            todo="Do not use it; tell the other hospitals, and compare your copies.",
            rule="history-differs",
        )


def _awaited(m: Membership, name: str) -> Release:
    """Return a release from the copy, once the running agent has witnessed it."""
    waited = 0.0
    while True:
        found = in_copy(m, lambda c: releases.find(c, name))
        if found is not None:
            return found
        if waited >= _PATIENCE_S or doorbell.ring(m.premises.state) is None:
            raise Unavailable(
                f"this site's copy of the ledger does not have the release {name} yet",
                todo="Let the agent run and witness the newest checkpoint, then try again.",
                rule="copy-behind",
            )
        _tick.wait(_LOOK_EVERY_S)
        waited += _LOOK_EVERY_S


async def _asked(m: Membership, name: str) -> ReleaseParts:
    link = _dialled(m)
    try:
        return await link.release(name)
    finally:
        await link.close()


async def _downloaded(m: Membership, parts: ReleaseParts) -> Path:
    link = _dialled(m)
    try:
        return await transfers.download(link, parts.model, m.premises.releases)
    finally:
        await link.close()


def _dialled(m: Membership) -> Link:
    forget_proxies(m.settings)
    federation = chosen(m.settings, m.federation)
    address = Address(federation.coordinator, federation.proxy)
    egress = Egress(m.store, m.federation, m.now)
    return Link(address, papers_of(Identity.load(federation.folder)), egress)


def _say(c: Connection, m: Membership, proven: Proven, name: str) -> None:
    """Say that it was fetched, once; a second time changes nothing."""
    for said in journal.of_kind(c, m.federation, "release-fetched"):
        if said.status != journal.VOID and said.statement.body["release"] == name:
            return
    published = proven.published.body
    body = {key: published[key] for key in ("agreement", "release", "model")}
    voice.say(c, m.voice, Saying("release-fetched", body, "release"))
