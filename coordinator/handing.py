"""What the operator's program does for a release: draft, sign, fetch the folder, hand it on."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance import canonical, model_card
from governance.ledger import release_folder, release_proof
from protos.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from coordinator.console import Console
    from protos.words import ReleaseParts
    from protos.words_operator import OperatorActed, ReleaseDraft, ReleaseStatus

_LOOK_EVERY_S: Final = 0.5
_TAKEN: Final = "release-taken"
_WAITS: Final = "release-not-witnessed"
_tick = threading.Event()


def drafted(console: Console, number: int, release: str) -> ReleaseDraft | None:
    """Return what a release would say; None where this very round was released so before.

    Raises:
        Refused: the round cannot be released, or another one was released by this name.
    """
    try:
        return console.draft(number, release)
    except Refused as problem:
        if problem.rule != _TAKEN or _named(console, release).round != number:
            raise
        return None


def shown(draft: ReleaseDraft) -> str:
    """Return a draft's card in words."""
    return model_card.rendered(canonical.decode(draft.card))


def publish(console: Console, draft: ReleaseDraft, *, now: datetime) -> OperatorActed:
    """Sign a release as drafted, and send it."""
    body = canonical.decode(draft.body)
    return console.act("release-published", body, now=now, document=draft.card)


def fetch(
    console: Console,
    release: str,
    place: Path,
    *,
    wait_s: float,
    tell: Callable[[str], None],
) -> None:
    """Write a release's folder once it is witnessed, after checking all of it.

    Raises:
        Unavailable: too few hospitals have cosigned it in that time.
        Refused, PeerFault: what came is not as it must be.
    """
    parts = _awaited(console, release, wait_s, tell)
    release_proof.check(parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".model-", dir=place.parent) as beside:
        model = Path(beside) / release_folder.MODEL
        with model.open("wb") as file:
            console.download(parts.model, file)
        release_folder.write(parts, model, place)


def _awaited(
    console: Console, release: str, wait_s: float, tell: Callable[[str], None]
) -> ReleaseParts:
    waited = 0.0
    while True:
        try:
            return console.release(release)
        except Unavailable as problem:
            if problem.rule != _WAITS or waited >= wait_s:
                raise
            if not waited:
                tell("Waiting for more than half of the hospitals to cosign it …")
            _tick.wait(_LOOK_EVERY_S)
            waited += _LOOK_EVERY_S


def say(
    console: Console, kind: str, release: str, told: Mapping[str, str], *, now: datetime
) -> OperatorActed:
    """Say something of a release that stands.

    Raises:
        Refused: there is none of this name, or it was recalled.
    """
    known = _named(console, release)
    body = {"agreement": known.agreement, "release": release, "model": known.model}
    return console.signed(kind, body, told, now=now)


def settle(
    console: Console,
    release: str,
    decision: str,
    *,
    site: str,
    told: Mapping[str, str],
    now: datetime,
) -> OperatorActed:
    """Decide on a release that waits at an exit; of the only one where no site is named.

    Raises:
        Refused: there is no such release, or it is not clear at whose exit.
    """
    known = _named(console, release)
    waiting = [one for one in known.leavers if site in {"", one}]
    if not waiting:
        raise Refused(
            f"no exit{f' of {site}' if site else ''} waits for a decision on {release}",
            todo="See what became of it: concilium-ledger exits, and exit SITE.",
            rule="not-to-settle",
        )
    if len(waiting) > 1:
        raise Refused(
            f"the exits of {', '.join(waiting)} wait for a decision on {release}",
            todo="Decide for one at a time, with --site NAME.",
            rule="which-exit",
        )
    body = {"agreement": known.agreement, "release": release, "model": known.model}
    body |= {"site": waiting[0], "decision": decision}
    return console.signed("release-settled", body, told, now=now)


def _named(console: Console, release: str) -> ReleaseStatus:
    known = {one.release: one for one in console.releases().releases}
    if release not in known:
        raise Refused(
            f"no release is called {release}",
            todo=f"There are: {', '.join(known) or 'none yet'}.",
            rule="unknown-release",
        )
    return known[release]
