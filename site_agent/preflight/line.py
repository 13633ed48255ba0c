"""The line to the coordinator: name, proxy, port, TLS, who answers, and its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from governance.findings import (
    ADMINISTRATOR,
    IT,
    OPERATOR,
    Finding,
    fine,
    look,
    stops,
    unknown,
)
from governance.identity import names
from governance.identity.certificate import check_chain, fingerprint
from governance.identity.clock import SKEW_LIMIT
from governance.places import Place, resolved
from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from site_agent.preflight import dialling
from site_agent.preflight.dialling import Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    from governance.identity.folder import Identity
    from protos.words import Digest

_CHAIN: Final = 3
_RENEW_BEFORE: Final = timedelta(days=20)


@dataclass(frozen=True, slots=True)
class Expected:
    """Who should answer, as far as this site knows: before enrolment perhaps nothing."""

    root: Digest | None = None
    federation: str = ""


def inspected(
    endpoint: str, proxy: str, expected: Expected, *, now: datetime
) -> Iterator[Finding]:
    """Look at the line step by step; stop at the first step that does not bear the next."""
    place = Place.of(endpoint)
    try:
        way = dialling.route(proxy, place)
    except Refused as problem:
        yield stops("proxy", problem.what, who=ADMINISTRATOR, todo=problem.todo)
        return
    yield _proxy(proxy, way)
    first = way.proxy or place
    if not dialling.is_address(first.host):
        finding = _name(first)
        yield finding
        if finding.who:
            return
    try:
        line = dialling.connected(place, way)
    except Unavailable as problem:
        yield _port(problem, place, way)
        return
    by = f" by the proxy {way.proxy}" if way.proxy else ""
    yield fine("port", f"{place} answers{by}")
    try:
        shown = dialling.shown_on(line, place)
    except Unavailable as problem:
        yield stops(
            "TLS",
            problem.what,
            who=IT,
            todo=f"Something on the way to {place} does not pass TLS 1.3 through, or another "
            "program listens there. Let this connection pass as it is.",
        )
        return
    yield fine("TLS", "TLS 1.3")
    if not shown.http2:
        yield stops(
            "HTTP/2",
            f"what answers at {place} does not speak HTTP/2",
            who=IT,
            todo="A proxy or a firewall on the way opens this connection. Except "
            f"{place} from inspection, or name a proxy that passes CONNECT through.",
        )
    yield _certificate(shown.certificates, place, expected, now)


def _proxy(setting: str, way: Route) -> Finding:
    named = dialling.proxies_named()
    told = ", ".join(named)
    if way.proxy is not None:
        return fine("proxy", f"{way.proxy}, from {way.said_in}")
    if setting == "env" and named and not any(name.islower() for name in named):
        todo = "gRPC reads them in small letters alone: say `proxy: http://host:port`."
        return look(
            "proxy", f"site.yaml says env, but only {told} is set", who=ADMINISTRATOR, todo=todo
        )
    if setting == "none" and named:
        return look(
            "proxy",
            f"none, though the environment has {told}",
            who=ADMINISTRATOR,
            todo="Right if this machine may dial out directly; if the port below does not "
            "answer, say `proxy: env` or `proxy: http://host:port` in site.yaml.",
        )
    return fine("proxy", "none: dialled directly")


def _name(first: Place) -> Finding:
    try:
        addresses = resolved(first.host)
    except Unavailable as problem:
        return stops(
            "host name",
            problem.what,
            who=IT,
            todo=f"Make {first.host} resolve on this machine; if the name itself is wrong, ask "
            "the operator and mend `coordinator` in site.yaml.",
        )
    return fine("host name", f"{first.host} is {', '.join(addresses[:3])}")


def _port(problem: Unavailable, place: Place, way: Route) -> Finding:
    if problem.rule == "refused" and way.proxy is None:
        todo = f"Is the coordinator running, and does it listen on port {place.port}?"
        return stops("port", problem.what, who=OPERATOR, todo=todo)
    if problem.rule == "proxy":
        todo = f"Let the proxy pass CONNECT to {place} from this machine."
        return stops("port", problem.what, who=IT, todo=todo)
    todo = f"Let this machine dial out to {way.proxy or place} by TCP; nothing dials in."
    return stops("port", problem.what, who=IT, todo=todo)


def _certificate(
    shown: Sequence[x509.Certificate], place: Place, expected: Expected, now: datetime
) -> Finding:
    if len(shown) != _CHAIN or (expected.root and fingerprint(shown[-1]) != expected.root):
        return _stranger(shown, place, expected)
    try:
        peer = check_chain(shown, root=expected.root or fingerprint(shown[-1]), now=now)
    except PeerFault:
        return _stranger(shown, place, expected)
    except ConciliumError as problem:
        return stops("certificate", problem.what, who=IT, todo=problem.todo or "Set the clock.")
    if peer.role != names.COORDINATOR or peer.federation != (
        expected.federation or peer.federation
    ):
        found = f"{peer.actor} of {peer.federation} answers"
        todo = "Which host and port is the coordinator's? Mend `coordinator` in site.yaml."
        return stops("certificate", found, who=OPERATOR, todo=todo)
    if not expected.root:
        return look(
            "certificate",
            f"the coordinator of {peer.federation}; root {fingerprint(shown[-1])}",
            who=OPERATOR,
            todo="Compare the root's fingerprint by telephone, or look again with --token: "
            "before enrolment nothing here knows the right one.",
        )
    ends = f"until {peer.not_after:%Y-%m-%d}"
    return fine("certificate", f"the coordinator of {peer.federation}, {ends}, by our root")


def _stranger(shown: Sequence[x509.Certificate], place: Place, expected: Expected) -> Finding:
    issuer = shown[0].issuer.rfc4514_string()[:100] if shown else "nobody"
    if not expected.root or len(shown) != _CHAIN:
        return stops(
            "certificate",
            f"signed by «{issuer}»: no coordinator's chain",
            who=IT,
            todo="A firewall, a proxy or a virus scanner opens this connection, or another "
            f"program listens there. Except {place} from inspection.",
        )
    return stops(
        "certificate",
        f"its root is {fingerprint(shown[-1])}, not {expected.root}",
        who=OPERATOR,
        todo="Somebody else answers there. Ask by telephone before anything else is done.",
    )


def enrolment(endpoint: str, expected: Expected, *, proxy: str, now: datetime) -> Finding:
    """Look at the enrolment port, which is dialled directly and on the first day alone."""
    check = "enrolment port"
    if not endpoint:
        return fine(check, "not used: this federation enrols by file")
    place = Place.of(endpoint)
    by_file = "Open it for one day, or enrol by file: concilium-site enrol TOKEN --request FILE"
    try:
        shown = dialling.shown_on(dialling.connected(place, Route(None)), place)
    except Unavailable as problem:
        todo = f"{by_file}; it is dialled without a proxy." if proxy != "none" else by_file
        return look(check, problem.what, who=IT, todo=todo)
    found = _certificate(shown.certificates, place, expected, now)
    if found.who:
        return stops(check, found.found, who=found.who, todo=found.todo)
    return fine(check, f"{place} answers as the coordinator")


def own_certificate(identity: Identity, *, now: datetime) -> Finding:
    """Look at how long this site's own certificate lasts."""
    left = identity.peer.not_after - now
    until = f"{identity.peer.actor}, until {identity.peer.not_after:%Y-%m-%d}"
    if left < timedelta():
        todo = (
            f"concilium-coordinator invite site {identity.name} --renew; with that token and "
            "the officer's key this hospital gives: concilium-site renew TOKEN"
        )
        return stops("own certificate", f"ended: {until}", who=OPERATOR, todo=todo)
    if left < _RENEW_BEFORE:
        todo = "Start the agent: it renews its certificate by itself from day 60 of 90."
        return look("own certificate", until, who=ADMINISTRATOR, todo=todo)
    return fine("own certificate", until)


def clock(skew: timedelta) -> Finding:
    """Judge how far the clock is from the coordinator's."""
    said = f"{abs(skew.total_seconds()):.1f} s from the coordinator's"
    if abs(skew) > SKEW_LIMIT:
        todo = "Set the clock that is wrong: timedatectl set-ntp true"
        return stops("clock", said, who=IT, todo=todo)
    return fine("clock", said)


def session_failed(problem: ConciliumError) -> Finding:
    """Say why the coordinator does not speak with this site."""
    if problem.rule == "clock-skew":
        return stops(
            "clock", problem.what.split("\n")[0], who=IT, todo="timedatectl set-ntp true"
        )
    who = IT if isinstance(problem, Unavailable) else OPERATOR
    todo = "Ask why the coordinator does not speak with this hospital: " + problem.rule
    return stops("session", problem.what, who=who, todo=todo)


def not_enrolled() -> Iterator[Finding]:
    """Say what cannot be looked at before enrolment."""
    yield unknown(
        "session and clock",
        "the coordinator speaks with enrolled hospitals alone",
        who=ADMINISTRATOR,
        todo="Look again once enrolled. Meanwhile see that `timedatectl` says synchronized.",
    )
