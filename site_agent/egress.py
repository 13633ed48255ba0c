"""The one place that every byte passes on its way out, and is listed in before it leaves.

`link` hands over each message as the very bytes that go to the line. What cannot be written
down does not leave: a full disk stops the line, and never the list.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from governance import statements
from governance.agreement.load import parse
from protos import codec
from protos.errors import ConciliumError
from protos.words import (
    CertificateRequest,
    CosignatureSent,
    Heartbeat,
    Hello,
    StatementSent,
    TaskAnswer,
)
from protos.words_masks import MaskSaid, Vector
from site_agent.store import egress, letters, terms, work
from site_agent.store.egress import Left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.statements import Statement
    from protos.words import Disclosure, FromSite, FromSiteBody, UploadHeader
    from site_agent.store import Store

COORDINATOR: Final = "coordinator"
EVERYBODY: Final = "members, auditors"
MASKED: Final = "nobody: masked"
SESSION: Final = "session"

KINDS: Final[Mapping[type[FromSiteBody], str]] = {
    Hello: "hello",
    Heartbeat: "heartbeat",
    TaskAnswer: "task-answer",
    CosignatureSent: "cosignature",
    CertificateRequest: "certificate-request",
    MaskSaid: "mask-step",
}
_FIGURES: Final = "masked-figures"
"""How messages are called in the list; a statement is called by its own kind."""

RULES: Final[Mapping[str, str]] = {
    SESSION: "an agent that runs keeps one session with the coordinator of site.yaml",
    "task": "a task was taken, and what it names is fetched",
    "task-taken": "every rule of site.yaml and of the signed consent allows the task",
    "task-refused": "a refusal names the rule that says no, and nothing else",
    "budget": "its ε is reserved first, under the caps of officer, site.yaml and agreement",
    "metrics-noised": "the agreement asks for figures on held-out patients, with noise",
    "metrics-masked": "the agreement asks for figures with noise, masked for their sum alone",
    "privacy-audit": "an administrator had a test on patients who do not exist recorded",
    "statistics": "the agreement asks once for sums of patients' values, with noise",
    "metrics-exact": "the agreement that was signed asks for figures on held-out patients",
    "masks": "keys, sealed shares and signatures of a masked sum: no number of a patient's",
    "complaint": "a rule of the masked sum was broken, and the ledger is told which",
    "witness": "the ledger's copy here was checked; a witness says so",
    "officer": "the officer signed it",
    "consent": "it belongs to the consent that the officer signed",
    "always": "no patient's data: which program and version started",
    "always-allowed": "a pause or a withdrawal needs nobody's leave",
    "certificate-renewal": "the certificate ends, and a new one needs a new public key",
    "release": "an administrator fetched a released model, which its officer's consent allows",
    "keys": "a key of this hospital was replaced, signed by the old one",
    "overtaken": "said again, word for word, since the ledger took another statement before it",
    "enrolment": "an administrator enrolled this hospital with an invitation",
}
"""What each rule in the list means."""


class Egress:
    """What leaves for one federation."""

    def __init__(self, store: Store, federation: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._federation = federation
        self._now = now

    async def words(
        self, choose: Callable[[Connection], Iterable[FromSite]]
    ) -> Sequence[tuple[FromSite, bytes]]:
        """List the session's messages that are chosen, and return them with their bytes.

        They are chosen and listed in one transaction. A heartbeat is counted.
        """

        def write(c: Connection) -> list[tuple[FromSite, bytes]]:
            words = [(word, codec.from_site_bytes(word)) for word in choose(c)]
            for word, raw in words:
                left = self._described(c, word, raw)
                beats = isinstance(word.body, Heartbeat)
                (egress.tally if beats else egress.record)(c, self._federation, left)
            return words

        return await self._store.do(write)

    async def asked(self, kind: str, raw: bytes, *, rule: str) -> None:
        """List a request for something that the coordinator has."""
        left = Left(self._now(), kind, len(raw), _digest(raw), rule, content=raw)
        await self._store.do(lambda c: egress.record(c, self._federation, left))

    async def upload(self, header: UploadHeader, raw: bytes) -> None:
        """List an upload: the statement that goes with it, and what is left of its file.

        One that breaks off is listed with all that was to be sent.
        """
        upload, at = header.upload, self._now()

        def write(c: Connection) -> None:
            said = Left(at, "contribution-made", len(raw), _digest(raw), "budget", EVERYBODY)
            rest = upload.size - header.offset
            file = Left(
                at,
                "update",
                rest,
                upload.digest,
                "budget",
                _update_readers(c, self._federation, header),
            )
            for left, content in ((said, raw), (file, None)):
                kept = Left(
                    left.at,
                    left.kind,
                    left.size,
                    left.digest,
                    left.rule,
                    left.readers,
                    round=upload.round,
                    content=content,
                )
                egress.record(c, self._federation, kept)

        await self._store.do(write)

    def _described(self, c: Connection, word: FromSite, raw: bytes) -> Left:
        at, digest, body = self._now(), _digest(raw), word.body
        if isinstance(body, StatementSent):
            statement = statements.read(body.envelope)
            return Left(
                at,
                statement.kind,
                len(raw),
                digest,
                letters.rule_of(c, self._federation, word.seq),
                _readers(c, self._federation, statement, body.disclosures),
                round=_round_of(statement),
                content=raw,
            )
        rule = letters.rule_of(c, self._federation, word.seq) if word.seq else SESSION
        round_ = None
        figures = isinstance(body, MaskSaid) and isinstance(body.said, Vector)
        if isinstance(body, TaskAnswer) or (isinstance(body, MaskSaid) and figures):
            held = work.find(c, self._federation, body.task)
            round_ = held.task.round if held is not None else None
        readers = EVERYBODY if isinstance(body, CosignatureSent) else COORDINATOR
        kept = None if isinstance(body, Heartbeat) else raw
        readers = MASKED if figures else readers
        kind = _FIGURES if figures else KINDS[type(body)]
        return Left(at, kind, len(raw), digest, rule, readers, round=round_, content=kept)


def enrolment(raw: bytes, *, at: datetime, readers: str) -> Left:
    """Return how an enrolment is listed; its bytes hold the invitation's secret."""
    return Left(at, "enrol-request", len(raw), _digest(raw), "enrolment", readers)


def renewal(raw: bytes, *, at: datetime, readers: str) -> Left:
    """Return how a request in place of an ended certificate is listed, with its secret."""
    kind, rule = "renewal-request", "certificate-renewal"
    return Left(at, kind, len(raw), _digest(raw), rule, readers)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _round_of(statement: Statement) -> int | None:
    said = statement.body.get("round")
    return said if isinstance(said, int) else None


def _readers(
    c: Connection, federation: str, statement: Statement, told: tuple[Disclosure, ...]
) -> str:
    """Return who can read a statement, and who the values that it only commits to."""
    if not told:
        return EVERYBODY
    labels = ", ".join(one.label for one in told)
    offered = terms.find(c, federation, str(statement.body.get("agreement", "")))
    shown = "members, auditors"
    if offered is not None:
        visible = parse(offered.document).agreement.disclosures.visible_to
        shown = "auditors" if visible == "auditors" else shown
    return f"{EVERYBODY}; {labels}: coordinator, {shown}"


def _update_readers(c: Connection, federation: str, header: UploadHeader) -> str:
    """Return who can read an update: nobody alone where the agreement masks it."""
    try:
        said = statements.read(header.statement).body
    except ConciliumError:
        return COORDINATOR
    offered = terms.find(c, federation, str(said.get("agreement", "")))
    if offered is not None and parse(offered.document).agreement.aggregation.secure:
        return MASKED
    return COORDINATOR
