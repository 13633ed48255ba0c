"""What is wrong with the coordinator, and who must act: host, port, keys, database, sites."""

from __future__ import annotations

import socket
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from coordinator import alarms
from coordinator.foundation import Hold
from governance.findings import IT, Finding, fine, look, stops, unknown
from governance.identity.authority import Authority
from governance.identity.clock import SKEW_LIMIT
from governance.ledger import source
from governance.ledger.database import check_sound, reading
from governance.ledger.store import newest_time
from governance.places import Place, resolved
from governance.settings import load_coordinator
from protos.errors import ConciliumError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from governance.settings import CoordinatorSettings

YOU: Final = "you, the operator"
_PATIENCE_S: Final = 5.0


def examine(folder: Path, identity: Path | None) -> Iterator[Finding]:
    """Yield what was found, the ground first.

    Args:
        folder: The coordinator's.
        identity: In whose name a coordinator at work is asked; the one operator's by default.

    Raises:
        Refused: coordinator.yaml cannot be read.
    """
    settings = load_coordinator(folder / "coordinator.yaml")
    now = datetime.now(UTC)
    yield _disk(folder, settings)
    yield from _keys(folder, now)
    yield from _database(settings, now)
    yield _host(settings)
    serving = _is_serving(folder)
    if not serving:
        todo = "Start it: concilium-coordinator serve"
        yield stops("coordinator", "it is not running", who=YOU, todo=todo)
        return
    yield fine("coordinator", "it runs")
    yield _port(settings)
    yield from _federation(folder, identity)


def _disk(folder: Path, settings: CoordinatorSettings) -> Finding:
    for notice in alarms.disk(folder, settings.spool.folder):
        return stops("disk", notice.what, who=IT, todo=notice.todo)
    return fine("disk", "a tenth of it or more is free")


def _keys(folder: Path, now: datetime) -> Iterator[Finding]:
    try:
        authority = Authority.load(folder)
    except ConciliumError as problem:
        yield stops("keys", problem.what, who=YOU, todo=problem.todo)
        return
    end = authority.issuing.not_valid_after_utc
    said = f"the issuing CA ends on {end:%Y-%m-%d}"
    if end <= now:
        yield stops("keys", said, who=YOU, todo=alarms.ROTATE)
    elif authority.issuing_due(now):
        yield look("keys", said, who=YOU, todo=alarms.ROTATE)
    else:
        yield fine("keys", said)


def _database(settings: CoordinatorSettings, now: datetime) -> Iterator[Finding]:
    try:
        engine = source.open_database(settings.database)
        try:
            with reading(engine) as connection:
                check_sound(connection)
                newest = newest_time(connection)
        finally:
            engine.dispose()
    except ConciliumError as problem:
        todo = problem.todo or "concilium-coordinator recover"
        yield stops("database", problem.what, who=YOU, todo=todo)
        return
    yield fine("database", "it opens, and every page of it is sound")
    if newest is not None and newest - now > SKEW_LIMIT:
        said = (
            f"the newest entry is of {newest:%Y-%m-%d %H:%M} UTC, and this clock is before it"
        )
        yield stops("clock", said, who=IT, todo="Set it: timedatectl set-ntp true")
    else:
        yield fine("clock", "not before the ledger's newest entry")


def _host(settings: CoordinatorSettings) -> Finding:
    try:
        addresses = resolved(settings.host)
    except Unavailable as problem:
        todo = f"Make {settings.host} resolve, here and at the hospitals."
        return look("host name", problem.what, who=IT, todo=todo)
    return fine("host name", f"{settings.host} is {', '.join(addresses[:3])}")


def _is_serving(folder: Path) -> bool:
    try:
        Hold(folder / "state" / "coordinator.pid").release()
    except Refused:
        return True
    return False


def _port(settings: CoordinatorSettings) -> Finding:
    place = Place.of(settings.listen)
    here = "localhost" if place.host in {"0.0.0.0", "::"} else place.host  # noqa: S104 - what it means
    try:
        with closing(socket.create_connection((here, place.port), timeout=_PATIENCE_S)):
            return fine("port", f"{settings.listen} takes connections")
    except OSError as problem:
        said = f"{settings.listen} takes no connection: {problem.strerror or problem}"
        return stops("port", said, who=IT, todo="Let programs of this machine reach it.")


def _federation(folder: Path, identity: Path | None) -> Iterator[Finding]:
    """Ask the coordinator itself, over mutual TLS, as any operator's verb does."""
    from coordinator.console import open_console

    try:
        with open_console(folder, identity) as console:
            report = console.status()
    except Refused as problem:
        yield unknown("federation", problem.what, who=YOU, todo=problem.todo)
        return
    except ConciliumError as problem:
        yield stops("federation", problem.what, who=YOU, todo=problem.todo)
        return
    yield fine("federation", report.state)
    for alarm in report.alarms:
        yield stops("alarm", alarm, who=YOU, todo="See concilium-coordinator status.")
    for site in report.sites:
        if not site.connected and not site.consent.endswith("revoked"):
            todo = "Ask its administrator for: concilium-site doctor"
            yield look(f"site {site.name}", "not connected", who=YOU, todo=todo)
