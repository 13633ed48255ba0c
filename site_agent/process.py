"""The long-lived agent: one process for all federations of the hospital."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from governance import logs
from governance.findings import Verdict
from protos.errors import Refused
from site_agent import doorbell, freshness, rollback, upgrading
from site_agent.confinement import Confinement
from site_agent.membership import check_any, open_membership
from site_agent.premises import Premises, sole_agent
from site_agent.store import Store
from site_agent.store.copy import Copy

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.settings import SiteSettings
    from site_agent.member import Member
    from site_agent.membership import Membership

_log = structlog.get_logger("agent")

GRACE_S: Final = 1.0
"""How long a stop may take before the process ends as it is; the store needs nothing more."""
_TASK_PARTS: Final = 4
_PROXY_VARIABLES: Final = (
    "http_proxy",
    "https_proxy",
    "grpc_proxy",
    "no_proxy",
    "no_grpc_proxy",
)


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def run(settings: SiteSettings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        Refused: another agent works on the same store, a federation is not enrolled, the
            worker cannot be confined as site.yaml says, the store is an old one, or the
            operators removed this site from the federations that it served.
    """
    check_any(settings)
    log_as_json(settings.name)
    forget_proxies(settings)
    premises = Premises(settings.state)
    premises.prepare()
    with sole_agent(premises):
        premises.held_out_secret()
        confinement = Confinement.of(settings, premises)
        if confinement is not None:
            confinement.check()
        _check_device(settings)
        for sentence in upgrading.bring_up(premises, at=now()):
            _log.info("migrated", what=sentence)
        asyncio.run(_serve(settings, premises))


def _check_device(settings: SiteSettings) -> None:
    """Refuse to start where torch does not see the device that site.yaml trains on."""
    from site_agent.preflight import machine

    found = machine.device(settings)
    if found.verdict is Verdict.STOPS:
        raise Refused(found.found, todo=found.todo, rule="no-device")


async def _serve(settings: SiteSettings, premises: Premises) -> None:
    from governance.exposition import exposed
    from site_agent import metrics
    from site_agent.member import Member

    store = Store.open(premises.database)
    members: list[Member] = []
    for federation in settings.federations:
        m, identity = open_membership(
            settings, federation, store=store, premises=premises, now=now
        )
        await store.do(partial(_check_whole, m=m))
        members.append(Member(m, identity, federation))
    serving = asyncio.ensure_future(together([member.run() for member in members]))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, serving, premises.state)

    def ring() -> None:
        for member in members:
            member.bell.ring()

    def status() -> Mapping[str, Any]:
        told = [member.status() for member in members]
        mine = freshness.digest_of(settings)
        return {"pid": os.getpid(), "settings": mine, "federations": told}

    _log.info("started", site=settings.name, federations=len(members))
    listen = settings.metrics.listen if settings.metrics else None
    async with (
        exposed(listen, partial(metrics.figures, members)),
        doorbell.listening(premises.state, ring=ring, status=status),
    ):
        removed: list[str] = []
        with contextlib.suppress(asyncio.CancelledError):
            removed = [said for said in await serving if said]
    _log.info("stopped", site=settings.name)
    store.close()
    if removed:
        raise _shut_out(removed)


def _shut_out(removed: Sequence[str]) -> Refused:
    return Refused(
        "; ".join(removed),
        todo="Ask its operators why. To come back, enrol anew with a token of theirs; else "
        "take the federation out of site.yaml.",
        rule="revoked",
    )


async def together(runs: Iterable[Coroutine[Any, Any, str]]) -> list[str]:
    """Return what each says at its end; where one fails or all are stopped, none outlasts this.

    What they share can be closed then.
    """
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would cut short how it ends
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check_whole(c: Connection, m: Membership) -> None:
    """Refuse to begin with a store that lacks what its keys signed, as far as is known here."""
    rollback.check(c, m.federation)
    path = m.premises.copy_of(m.federation)
    if path.exists():
        kept = Copy.open(path)
        try:
            with kept.looked_at() as copy:
                rollback.check_copy(c, m, copy)
        finally:
            kept.close()


def _stop(serving: asyncio.Future[Any], state: Path) -> None:
    """End in order; and at the latest after the grace, since the store can be left any time.

    The grace is a thread's to count: a store that closes holds the loop up.
    """
    serving.cancel()
    grace = threading.Timer(GRACE_S, _end, (state,))
    grace.daemon = True
    grace.start()


def _end(state: Path) -> None:
    """End this process as it is; nobody answers the bell any more."""
    doorbell.take_down(state)
    os._exit(0)


def forget_proxies(settings: SiteSettings) -> None:
    """Take proxy variables away unless site.yaml asks for them: they override the channel's."""
    if any(federation.proxy == "env" for federation in settings.federations):
        return
    for name in _PROXY_VARIABLES:
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)


def log_as_json(site: str) -> None:
    """Have every line of the log say whose it is, and of a task in which round it is."""
    logs.as_json(lambda event: {"site": site, **_round_of(str(event.get("task", "")))})


def _round_of(task: str) -> dict[str, str | int]:
    """Return federation, round and attempt of a task's name; nothing of another text."""
    parts = task.split("/")
    if len(parts) < _TASK_PARTS or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return {}
    return {"federation": parts[0], "round": int(parts[1]), "attempt": int(parts[2])}
