"""All that can be looked at, in the order in which a first day meets it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from governance.agreement.load import load, parse
from governance.findings import ADMINISTRATOR, Finding, unknown
from governance.identity.enrolment import read_token
from governance.identity.folder import Identity
from governance.settings import load_site
from protos.errors import ConciliumError, Refused
from site_agent import doorbell
from site_agent.checking import cohort_named
from site_agent.membership import chosen
from site_agent.preflight import line, machine, practice
from site_agent.preflight.limits import limits
from site_agent.preflight.line import Expected
from site_agent.premises import Premises
from site_agent.process import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from governance.agreement.load import Document
    from governance.identity.enrolment import Token
    from governance.settings import FederationSettings, SiteSettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller says: an agreement's file, a token, the line's upward bits a second."""

    agreement: Path | None = None
    federation: str | None = None
    cohort: str | None = None
    token: str = ""
    upload: int | None = None


def inspect(file: Path, wanted: Wanted, tell: Callable[[str], None]) -> list[Finding]:
    """Look at everything; `tell` is told what is being looked at.

    Raises:
        Refused: site.yaml, the agreement's file or the token cannot be read.
    """
    settings = load_site(file)
    token = read_token(wanted.token) if wanted.token else None
    place = chosen(settings, wanted.federation) if settings.federations else None
    document = load(wanted.agreement) if wanted.agreement is not None else None
    if document is None and place is not None:
        document = _proposed(file, place)
    cohort = cohort_named(settings, wanted.federation, wanted.cohort)
    found: list[Finding] = []
    tell("Looking at the line …")
    found += of_line(file, place, token)
    tell("Looking at this machine …")
    agreement = document.agreement if document is not None else None
    found += [machine.disk(settings, agreement), machine.memory(settings, agreement)]
    found += [machine.threads(settings), *machine.libraries()]
    if document is None:
        todo = "Ask the operator for the agreement's file: concilium-site preflight AGREEMENT"
        said = "no agreement is at hand: data, training and upload were not looked at"
        return [*found, unknown("agreement", said, who=ADMINISTRATOR, todo=todo)]
    return [*found, *_agreement(document, settings, cohort, wanted.upload, tell)]


def of_line(
    file: Path, place: FederationSettings | None, token: Token | None = None
) -> Iterator[Finding]:
    """Look at the line to a federation's coordinator, as the agent would dial it."""
    if place is None and token is None:
        todo = "Name the coordinator's host and port under `federations` in site.yaml."
        yield unknown("coordinator", "site.yaml names none", who=ADMINISTRATOR, todo=todo)
        return
    identity = _identity(place)
    proxy = place.proxy if place is not None else "none"
    endpoint = place.coordinator if place is not None else token.coordinator if token else ""
    expected = Expected()
    if token is not None:
        expected = Expected(token.root, token.federation)
    if identity is not None:
        expected = Expected(identity.root, identity.federation)
    found = list(line.inspected(endpoint, proxy, expected, now=now()))
    yield from found
    if token is not None:
        yield line.enrolment(token.enrolment, expected, proxy=proxy, now=now())
    if identity is None or place is None:
        yield from line.not_enrolled()
        return
    yield line.own_certificate(identity, now=now())
    if found[-1].check == "certificate" and not found[-1].who:
        yield _clock(file, place, identity)


def _identity(place: FederationSettings | None) -> Identity | None:
    if place is None or not (place.folder / "federation.json").exists():
        return None
    return Identity.load(place.folder)


def _clock(file: Path, place: FederationSettings, identity: Identity) -> Finding:
    """Compare the clocks: ask the running agent, or say hello in its place."""
    from site_agent import desk
    from site_agent.preflight.hello import skew

    with desk.opened(file, identity.federation) as m:
        running = doorbell.ring(m.premises.state) or {}
        for one in running.get("federations", []):
            if one.get("federation") == identity.federation and one.get("connected"):
                return line.clock(timedelta(seconds=float(one["skew_s"])))
        try:
            return line.clock(asyncio.run(skew(m, identity, place)))
        except ConciliumError as problem:
            return line.session_failed(problem)


def _proposed(file: Path, place: FederationSettings) -> Document | None:
    """Return the newest agreement that this site was asked to consent to, if there is one."""
    from site_agent import desk, office
    from site_agent.membership import folder_name

    if _identity(place) is None:
        return None
    with desk.opened(file, folder_name(place)) as m:
        try:
            return parse(m.store.look(lambda c: office.agreement_at_hand(c, m)).document)
        except Refused:
            return None


def _agreement(
    document: Document,
    settings: SiteSettings,
    cohort: str,
    rate: int | None,
    tell: Callable[[str], None],
) -> Iterator[Finding]:
    agreement = document.agreement
    yield from practice.own_law(document, settings)
    yield from limits(agreement, settings, cohort)
    tell("Reading the cohort …")
    found, patients = practice.data(document, settings.cohorts[cohort])
    yield found
    pace = None
    if patients:
        tell("Training for a few seconds; nothing leaves and nothing is spent …")
        finding, pace = asyncio.run(
            practice.trained(
                document,
                settings,
                settings.cohorts[cohort],
                premises=Premises(settings.state),
                patients=patients,
            )
        )
        yield finding
    else:
        yield unknown("training", "not measured: the data must meet the contract first")
    yield from practice.timing(agreement, pace, rate or agreement.sites.requires.upload)
