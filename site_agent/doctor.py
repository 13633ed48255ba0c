"""What is wrong with this hospital's agent, and who must act: line, machine, store, agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance import findings
from governance.findings import ADMINISTRATOR, Finding, fine, look, stops, unknown
from governance.identity.folder import Identity
from governance.ledger.database import check_sound
from governance.settings import load_site
from protos.errors import ConciliumError, Refused
from site_agent import doorbell, freshness, noticing
from site_agent.confinement import BY, Confinement
from site_agent.membership import chosen, folder_name
from site_agent.preflight import inspection, machine
from site_agent.premises import Premises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from governance.settings import FederationSettings, SiteSettings

_SAID_ELSEWHERE: Final = "certificate-30d"


def examine(file: Path, federation: str | None, tell: Callable[[str], None]) -> list[Finding]:
    """Look at everything that a running agent needs; `tell` is told what is being looked at.

    Raises:
        Refused: site.yaml cannot be read, or names no such federation.
    """
    settings = load_site(file)
    places = [chosen(settings, federation)] if federation else list(settings.federations)
    tell("Looking at this machine …")
    found = [*_machine(settings), *_agent(settings)]
    if not places:
        todo = "Enrol with the token that an operator gives you: concilium-site enrol TOKEN"
        found.append(unknown("federation", "none is named", who=ADMINISTRATOR, todo=todo))
    for place in places:
        name = folder_name(place)
        tell(f"Looking at the line to {name} …")
        found += _about(name if len(places) > 1 else "", inspection.of_line(file, place))
        found += _about(name if len(places) > 1 else "", _kept(file, place))
    return found


def _about(name: str, found: Iterator[Finding]) -> Iterator[Finding]:
    """Say of which federation a finding is, where there are several."""
    for one in found:
        yield findings.of(name, one) if name else one


def _machine(settings: SiteSettings) -> Iterator[Finding]:
    yield machine.disk(settings, None)
    yield machine.memory(settings, None)
    yield machine.threads(settings)
    yield from machine.libraries()
    yield machine.device(settings)
    yield _confinement(settings)


def _confinement(settings: SiteSettings) -> Finding:
    confinement = Confinement.of(settings, Premises(settings.state))
    if confinement is None:
        todo = "Say `isolation: required`, unless this hospital means it."
        return look("confinement", "site.yaml says none", who=ADMINISTRATOR, todo=todo)
    try:
        confinement.check()
    except Refused as problem:
        return stops("confinement", problem.what, who=findings.IT, todo=problem.todo)
    return fine("confinement", f"by {BY}, without network")


def _agent(settings: SiteSettings) -> Iterator[Finding]:
    live = doorbell.ring(settings.state)
    if live is None:
        todo = "Start it: concilium-site run"
        yield stops("agent", "it is not running", who=ADMINISTRATOR, todo=todo)
        return
    for said in freshness.warnings(live, settings):
        yield look("agent", said, who=ADMINISTRATOR, todo="Restart it: concilium-site run")
        return
    yield fine("agent", f"it runs as process {live['pid']}")


def _kept(file: Path, place: FederationSettings) -> Iterator[Finding]:
    """Look at the store, and at what stands that somebody should hear of."""
    from site_agent import desk

    if not (place.folder / "federation.json").exists():
        return
    try:
        with desk.opened(file, folder_name(place)) as m:
            m.store.look(check_sound)
            peer = Identity.load(place.folder).peer
            standing = m.store.look(lambda c: list(noticing.standing(c, m, peer)))
    except ConciliumError as problem:
        yield stops("store", problem.what, who=ADMINISTRATOR, todo=problem.todo)
        return
    yield fine("store", "every page of it is sound")
    for notice in standing:
        if notice.event == "fork":
            yield stops(notice.event, notice.what, who=ADMINISTRATOR, todo=notice.todo)
        elif notice.event != _SAID_ELSEWHERE:
            yield look(notice.event, notice.what, who=ADMINISTRATOR, todo=notice.todo)
