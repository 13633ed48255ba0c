"""What an operator should hear of, told to the program that coordinator.yaml names."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from coordinator import alarms
from coordinator.store import holders, kept, pausing, record
from governance import notices
from governance.notices import Listener, Notice, Teller
from governance.statements import parse_time
from protos.errors import ConciliumError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation

_log = structlog.get_logger("notify")

OFFLINE: Final = timedelta(hours=24)
ENDS_SOON: Final = timedelta(days=29)
"""A day less than what is said: a certificate that renews itself does so before."""
_ABANDONED: Final = 3
_SEEN_EVERY: Final = timedelta(minutes=10)
_RETURN: Final = timedelta(minutes=10)
"""How long hospitals have to come back after the coordinator started."""
_ISSUING: Final = "issuing CA"
_TOLD: Final = "told"
_SEEN: Final = "seen"


async def notice(base: Foundation, every_s: float = notices.LOOK_EVERY_S) -> None:
    """Keep who was here, and tell what begins to stand where a program is named; for ever."""
    asked = base.settings.notify
    teller = None
    if asked is not None:
        events = frozenset(asked.events)
        listener = Listener(asked.run, events, "concilium-coordinator", base.federation)
        teller = Teller(listener, base.now)
    while True:
        try:
            await base.store.write(partial(note_seen, base))
            if teller is not None:
                await _tell(base, teller)
        except ConciliumError as problem:
            _log.warning("looks-again", rule=problem.rule, why=str(problem))
        except Exception:  # noqa: BLE001 - ours: logged, looked at again, rounds go on
            _log.exception("bug")
        await asyncio.sleep(every_s)


async def _tell(base: Foundation, teller: Teller) -> None:
    def look(connection: Connection) -> tuple[tuple[Notice, ...], frozenset[str]]:
        return tuple(standing(base, connection)), notices.read(kept.note(connection, _TOLD))

    found, told = await base.store.read(look)
    after = await teller.tell(found, told)
    if after != told:
        text = notices.kept(after)
        await base.store.write(partial(kept.set_note, name=_TOLD, value=text))


def standing(base: Foundation, connection: Connection) -> Iterator[Notice]:
    """Yield everything that an operator should hear of now."""
    now = base.now()
    yield from alarms.split_views(connection)
    yield from alarms.disk(base.folder, base.settings.spool.folder)
    yield from _abandoned(connection)
    yield from _offline(base, connection, now)
    yield from _certificates(base, connection, now)


def note_seen(base: Foundation, connection: Connection) -> None:
    """Keep when each hospital was connected last, to ten minutes, over restarts."""
    now, seen = base.now(), _seen(connection)
    known = {}
    for name in sorted(holders.sites(connection)):
        at = seen.get(name, now)  # who was never here is waited for from now on
        here = name in base.sessions.connected
        known[name] = now if here and now - at > _SEEN_EVERY else at
    if known != seen:
        text = json.dumps({name: base.timestamp(at) for name, at in known.items()})
        kept.set_note(connection, _SEEN, text)


def _seen(connection: Connection) -> dict[str, datetime]:
    text = kept.note(connection, _SEEN)
    return {name: parse_time(at) for name, at in json.loads(text or "{}").items()}


def _offline(base: Foundation, connection: Connection, now: datetime) -> Iterator[Notice]:
    if now - base.opened_at < _RETURN:
        return
    for site, at in sorted(_seen(connection).items()):
        if site not in base.sessions.connected and now - at > OFFLINE:
            yield Notice(
                "site-offline-24h",
                site,
                f"{site} was last connected on {at:%Y-%m-%d %H:%M} UTC",
                "Ask its administrator for: concilium-site doctor",
            )


def _abandoned(connection: Connection) -> Iterator[Notice]:
    ends = record.recent_ends(connection, _ABANDONED)
    if len(ends) == _ABANDONED and all(state == "abandoned" for state, _ in ends):
        why = pausing.why(connection)
        yield Notice(
            "round-abandoned-3",
            "",
            f"the last {_ABANDONED} attempts were abandoned, the last one for: {ends[0][1]}"
            + (f"; the federation is paused: {why}" if why else ""),
            "See why with concilium-coordinator rounds, then: concilium-coordinator resume",
        )


def ends(base: Foundation, connection: Connection) -> dict[str, datetime]:
    """Return when the issuing CA's certificate ends, and the newest of each enrolled site."""
    sites = holders.certificates_end(connection)
    return {_ISSUING: base.authority.issuing.not_valid_after_utc, **sites}


def _certificates(base: Foundation, connection: Connection, now: datetime) -> Iterator[Notice]:
    here = base.sessions.connected
    for name, end in ends(base, connection).items():
        if end - now >= ENDS_SOON or name in here:
            continue
        said = "ended" if end < now else "ends"
        if name == _ISSUING:
            what = f"the issuing CA {said} on {end:%Y-%m-%d}"
            todo = alarms.ROTATE
        else:
            what = f"the certificate of {name} {said} on {end:%Y-%m-%d}; its agent is away"
            todo = "Ask its administrator for: concilium-site doctor"
        yield Notice("certificate-30d", name, what, todo)
