"""A privacy audit on record: what was tried, the claim, and the least that it shows.

Of patients who do not exist alone: what a training on a hospital's own betrays, said to all,
would be a release of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from governance.ledger.kinds_privacy import AUDITED, CANARIES, REFUTED, WITHIN
from governance.privacy.releases import decimal_text, of_a_round
from protos.errors import Refused
from site_agent import desk, voice
from site_agent.voice import Saying
from site_agent.worker import worker_digest

if TYPE_CHECKING:
    from pathlib import Path

    from governance.agreement.load import Document
    from governance.terminal import Answer


def check_may(*, synthetic: bool, without_noise: bool) -> None:
    """Refuse to record what tells of patients, or what was trained in another way than agreed.

    Raises:
        Refused: `audit-not-recordable`.
    """
    if not synthetic or without_noise:
        raise Refused(
            "--record is for an audit on patients who do not exist, with the agreement's noise",
            todo="Add --synthetic and leave --without-noise out: what training on your own "
            "patients shows, told to everybody, would be a release of its own.",
            rule="audit-not-recordable",
        )


def record(document: Document, answer: Answer, file: Path, federation: str | None) -> None:
    """Sign what an audit found; the agent sends it, and the ledger keeps it.

    Raises:
        Refused: nothing was found without noise, so that the audit proves nothing.
    """
    body = body_of(document, answer)
    if float(body["without_noise"]) <= float(body["claimed"]):
        raise Refused(
            "the audit finds nothing without noise either, so that it is not recorded",
            todo="Audit fewer rounds, which claim less: --rounds 1",
            rule="audit-too-weak",
        )
    with desk.opened(file, federation) as m:
        saying = Saying(AUDITED, body, "privacy-audit")
        m.store.now(lambda c: voice.say(c, m.voice, saying))


def body_of(document: Document, answer: Answer) -> dict[str, Any]:
    """Return what is said of an audit: its rows with noise and without it."""
    noised, bare = answer.named()
    release = of_a_round(document.agreement)
    claimed, at_least = str(noised["claimed_epsilon"]), str(noised["at_least"])
    return {
        "agreement": document.digest,
        "test": CANARIES,
        "patients": "synthetic",
        "sampling_rate": decimal_text(release.sampling_rate),
        "noise_multiplier": decimal_text(release.noise_multiplier),
        "steps": answer.facts["steps"],
        "rounds": answer.facts["rounds"],
        "delta": decimal_text(float(str(answer.facts["delta"]))),
        "claimed": claimed,
        "canaries": noised["canaries"],
        "guesses": noised["guesses"],
        "right": noised["right"],
        "at_least": at_least,
        "without_noise": str(bare["at_least"]),
        "confidence": decimal_text(float(str(answer.facts["confidence"]))),
        "finding": REFUTED if float(at_least) > float(claimed) else WITHIN,
        "worker": worker_digest(),
    }
