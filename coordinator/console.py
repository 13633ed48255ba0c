"""The operator's gRPC client: one signed act at a time, and the status."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, Final, Self, TypeVar

from governance.identity.tls import pin_tls13

pin_tls13()

import grpc  # noqa: E402 - after the cipher list is set

from governance import statements  # noqa: E402
from governance.identity.enrolment import Token, mint, read_token, secret_hash  # noqa: E402
from governance.identity.folder import Identity, finish, prepare  # noqa: E402
from governance.identity.late_renewal import RENEWAL  # noqa: E402
from governance.ledger import own_certificate, remote, replacing  # noqa: E402
from protos import codec  # noqa: E402
from protos.concilium.v1 import (  # noqa: E402
    audit_pb2_grpc,
    enrolment_pb2_grpc,
    operator_pb2,
    operator_pb2_grpc,
    release_pb2,
)
from protos.errors import PeerFault, Refused, Unavailable  # noqa: E402
from protos.words import Digest, DownloadRequest, ReleaseRequest  # noqa: E402
from protos.words_operator import DraftRequest, OperatorAct  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from protos.words import (
        BlobRef,
        Disclosure,
        Enrolled,
        EnrolRequest,
        ReleaseParts,
        RenewalRequest,
    )
    from protos.words_operator import (
        OperatorActed,
        ReleaseDraft,
        ReleasesReport,
        RoundsReport,
        RoundsRequest,
        StatusReport,
    )

T = TypeVar("T")
_DEADLINE_S: Final = 60.0
_DRAFT_S: Final = 600.0
_RACES: Final = 20
_RULE: Final = re.compile(r"[a-z0-9-]{1,64}")


class Console:
    """A channel to the running coordinator in an operator's name; use it in a with block."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.root_pem,
            private_key=identity.tls_key_pem,
            certificate_chain=identity.tls_chain_pem,
        )
        self._channel = grpc.secure_channel(
            identity.coordinator, credentials, options=[("grpc.enable_http_proxy", 0)]
        )
        self._stub = operator_pb2_grpc.OperatorStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def status(self) -> StatusReport:
        """Ask where the federation stands."""
        answer = self._call(
            lambda: self._stub.Status(operator_pb2.StatusRequest(), timeout=_DEADLINE_S)
        )
        return codec.status_in(answer)

    def rounds(self, wanted: RoundsRequest) -> RoundsReport:
        """Ask for attempts of rounds, the newest first."""
        message = codec.rounds_request_out(wanted)
        return codec.rounds_in(
            self._call(lambda: self._stub.Rounds(message, timeout=_DEADLINE_S))
        )

    def releases(self) -> ReleasesReport:
        """Ask for every release."""
        message = release_pb2.ReleasesRequest()
        return codec.releases_in(
            self._call(lambda: self._stub.Releases(message, timeout=_DEADLINE_S))
        )

    def draft(self, number: int, release: str) -> ReleaseDraft:
        """Ask what the release of a round would say."""
        message = codec.draft_request_out(DraftRequest(number, release))
        answer = self._call(lambda: self._stub.Draft(message, timeout=_DRAFT_S))
        return codec.draft_in(answer)

    def release(self, release: str) -> ReleaseParts:
        """Ask for all of a release but its model."""
        message = codec.release_request_out(ReleaseRequest(release))
        audit = audit_pb2_grpc.AuditStub(self._channel)
        return codec.release_in(self._call(lambda: audit.Release(message, timeout=_DEADLINE_S)))

    def download(self, model: BlobRef, file: IO[bytes]) -> None:
        """Fetch a released model into a file.

        Raises:
            PeerFault: what comes is not the model that was promised.
        """
        message = codec.download_out(DownloadRequest(model.digest, 0))
        hasher, size = hashlib.sha256(), 0

        def fetch() -> None:
            nonlocal size
            for chunk in self._stub.Download(message):
                data = codec.chunk_in(chunk)
                hasher.update(data)
                size += len(data)
                file.write(data)

        self._call(fetch)
        if (hasher.hexdigest(), size) != (model.digest, model.size):
            raise PeerFault("another model came than the released one", rule="digest-mismatch")

    def act(
        self,
        kind: str,
        body: Mapping[str, Any],
        *,
        now: datetime,
        disclosures: Sequence[Disclosure] = (),
        document: bytes = b"",
    ) -> OperatorActed:
        """Sign an act as the next of this operator's chain and send it."""
        return _named(*self._acted(kind, body, now, disclosures, document))

    def _acted(
        self,
        kind: str,
        body: Mapping[str, Any],
        now: datetime,
        disclosures: Sequence[Disclosure] = (),
        document: bytes = b"",
    ) -> tuple[OperatorActed, Digest]:
        """Return what became of an act, as the coordinator said it, and the act's digest."""
        for _ in range(_RACES):
            try:
                return self._act(kind, body, now, disclosures, document)
            except Refused as problem:
                # Another act of this operator came between asking for the chain and signing.
                if problem.rule != "broken-chain":
                    raise
        raise Unavailable(
            "other acts of this operator kept coming in between",
            todo="Try again.",
            rule="other-acts",
        )

    def _act(
        self,
        kind: str,
        body: Mapping[str, Any],
        now: datetime,
        disclosures: Sequence[Disclosure],
        document: bytes,
    ) -> tuple[OperatorActed, Digest]:
        status = self.status()
        key = self._identity.signing_key()
        payload = statements.compose(
            kind,
            body,
            actor=self._identity.actor,
            key=key.key_id,
            chain=statements.Chain(status.operator_counter, Digest(status.operator_previous)),
            log=self._identity.log,
            at=now,
            disclosures=disclosures,
        )
        envelope = statements.sign(payload, [key])
        acted = self._exchanged(OperatorAct(envelope, tuple(disclosures), document))
        return acted, statements.read(envelope).digest

    def signed(
        self,
        kind: str,
        body: Mapping[str, Any],
        told: Mapping[str, str],
        *,
        now: datetime,
        document: bytes = b"",
    ) -> OperatorActed:
        """Act, with texts that the ledger only commits to."""
        disclosures = [
            statements.disclose(label, value, salt=secrets.token_bytes(32))
            for label, value in told.items()
            if value
        ]
        return self.act(kind, body, now=now, disclosures=disclosures, document=document)

    def invite(
        self,
        role: str,
        name: str,
        *,
        hours: int,
        now: datetime,
        replace_keys: bool = False,
        renew: bool = False,
    ) -> tuple[str, OperatorActed]:
        """Invite somebody; the token's secret is made here and only its hash is sent.

        To `renew` is to be given the next certificate, where the last one has ended.

        The token of an invitation that a second operator must approve lets nobody in before.
        """
        secret, status = secrets.token_bytes(32), self.status()
        wait = replacing.VETO if replace_keys else timedelta()
        body = {
            "act": replacing.ACT if replace_keys else "invite",
            "role": role,
            "name": name,
            "expires": statements.timestamp(now + wait + timedelta(hours=hours)),
            "secret": secret_hash(secret),
            **({"for": RENEWAL} if renew else {}),
        }
        acted, digest = self._acted("operator-acted", body, now)
        addresses = {"enrolment": "", "coordinator": "", **json.loads(acted.result or "{}")}
        token = Token(
            federation=status.federation,
            role=role,
            name=name,
            root=status.root,
            enrolment=addresses["enrolment"],
            coordinator=addresses["coordinator"],
            secret=secret,
        )
        return mint(token), _named(acted, digest)

    def enrol(self, request: EnrolRequest) -> Enrolled:
        """Hand in a newcomer's request, for whoever may not open a second port."""
        message = codec.enrol_request_out(request)
        enrolment = enrolment_pb2_grpc.EnrolmentStub(self._channel)
        answer = self._call(lambda: enrolment.Enrol(message, timeout=_DEADLINE_S))
        return codec.enrolled_in(answer)

    def renew(self, request: RenewalRequest) -> Enrolled:
        """Hand in the request of a hospital whose certificate has ended."""
        message = codec.renewal_request_out(request)
        enrolment = enrolment_pb2_grpc.EnrolmentStub(self._channel)
        answer = self._call(lambda: enrolment.Renew(message, timeout=_DEADLINE_S))
        return codec.enrolled_in(answer)

    def approve(self, digest_prefix: str) -> OperatorActed:
        """Add this operator's signature to an act that waits for it."""
        waiting = [a for a in self.status().pending if a.digest.startswith(digest_prefix)]
        if len(waiting) != 1:
            raise Refused(
                f"{len(waiting)} waiting acts begin with {digest_prefix}",
                todo="See them with: concilium-coordinator status",
                rule="which-act",
            )
        envelope = statements.countersign(waiting[0].envelope, self._identity.signing_key())
        return self._send(OperatorAct(envelope))

    def _send(self, act: OperatorAct) -> OperatorActed:
        return _named(self._exchanged(act), statements.read(act.envelope).digest)

    def _exchanged(self, act: OperatorAct) -> OperatorActed:
        message = codec.act_out(act)
        return codec.acted_in(self._call(lambda: self._stub.Act(message, timeout=_DEADLINE_S)))

    def _call(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except grpc.RpcError as problem:
            raise _readable(problem, self._identity.coordinator) from None


def _named(acted: OperatorActed, digest: Digest) -> OperatorActed:
    """Return an act that waits with its digest, by which it is approved."""
    return replace(acted, result=digest) if acted.pending else acted


def replaced(invited: OperatorActed) -> bool:
    """Tell whether an invitation that took effect ended an earlier one of the same name."""
    return bool(json.loads(invited.result or "{}").get("replaced"))


def open_console(folder: Path, identity: Path | None) -> Console:
    """Open a console as the operator named, or as the one operator of a folder.

    The operator's next certificate is asked for first, where it is due.

    Raises:
        Refused: there is none, or more than one, or its certificate has ended.
    """
    known = Identity.load(_who_acts(folder, identity))
    return Console(own_certificate.current(known, known.coordinator, now=datetime.now(UTC)))


def _who_acts(folder: Path, identity: Path | None) -> Path:
    if identity is None:
        found = sorted((folder / "operators").glob("*/federation.json"))
        if not (folder / "coordinator.yaml").exists():
            raise Refused(
                f"there is no federation in {folder.absolute()}",
                todo="Name its folder with --folder, or who acts with --identity DIR.",
                rule="who-acts",
            )
        if len(found) != 1:
            what = "no operator" if not found else "more than one operator"
            raise Refused(
                f"{what} is enrolled in {folder / 'operators'}",
                todo="Say who acts with --identity DIR.",
                rule="who-acts",
            )
        return found[0].parent
    return identity


def enrol(token: str, place: Path, *, now: datetime) -> Identity:
    """Enrol an operator: make its keys in a folder and have them certified."""
    read = read_token(token)
    if read.role != "operator":
        raise Refused(
            f"this token is for a {read.role}",
            todo=f"A {read.role} enrols with its own program: concilium-"
            f"{'ledger' if read.role == 'auditor' else 'site'} enrol",
            rule="token-for-another",
        )
    asked = prepare(place, read, now=now)
    return finish(place, asyncio.run(remote.enrol(read, asked)), now=now)


def _readable(problem: grpc.RpcError, where: str) -> Exception:
    code, details = problem.code(), problem.details() or ""
    rule, _, sentence = details.partition(": ")
    what, _, todo = sentence.partition("\n")
    if code in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED}:
        return Refused(what or details, todo=todo, rule=rule)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return PeerFault(what or details, todo=todo, rule=rule)
    if code is grpc.StatusCode.UNAVAILABLE and _RULE.fullmatch(rule):
        return Unavailable(what, todo=todo, rule=rule)  # it answers, and says so itself
    return Unavailable(
        f"the coordinator at {where} cannot be reached ({code.name.lower()})",
        todo="Start it with `concilium-coordinator serve`, on the machine that it runs on.",
        rule="unreachable",
    )
