"""The folder of an enrolled identity, on the newcomer's own machine; its keys never leave it.

    federation.json   who it is, where the coordinator is, the root's fingerprint, the log's key
    tls.key, tls.pem  for connections: leaf and issuing CA, renewed while it runs
    root.pem          the federation's root
    agent.key         a site's (operator.key, auditor.key): signs what it says

Enrolment is two steps, `prepare` and `finish`, with `enrolling.json` between them, so that it
can be broken off anywhere and the same command goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from governance.identity import names
from governance.identity.certificate import (
    Peer,
    check_chain,
    make_csr,
    make_tls_key,
    peer_name,
    read_chain,
)
from governance.identity.clock import SKEW_LIMIT
from governance.identity.enrolment import (
    Token,
    enrolled_body,
    enrolled_statement,
    mint,
    read_token,
)
from governance.identity.key_files import (
    move,
    read_private,
    replace_private,
    replace_public,
    write_private,
)
from governance.identity.keys import (
    AuthorityKey,
    SigningKey,
    load_private_key,
    private_pem,
    spki_sha256,
)
from governance.identity.late_renewal import make_proof
from governance.identity.renewal import make_request
from governance.statements import Log, is_digest, read
from protos.errors import Corrupt, Refused
from protos.words import CertificateRequest, Digest, EnrolRequest, RenewalRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from governance.identity.keys import Signer
    from protos.words import Enrolled

KEY_FILE: Final = {"site": "agent.key", "operator": "operator.key", "auditor": "auditor.key"}

_WHO: Final = "federation.json"
_PENDING: Final = "enrolling.json"
_LATE: Final = "renewing.json"
_LATE_FIELDS: Final = frozenset({"token", "csr", "proof"})
_FIELDS: Final = frozenset({"federation", "role", "name", "coordinator", "root", "ledger_key"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this machine is in a federation; `coordinator` is `host:port`, the rest PEM bytes."""

    folder: Path
    federation: str
    role: str
    name: str
    coordinator: str
    root: Digest
    ledger_key: str
    tls_key_pem: bytes = field(repr=False)
    tls_chain_pem: bytes = field(repr=False)
    root_pem: bytes = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Identity:
        """Read an enrolled identity; a renewal that was broken off is finished first.

        Raises:
            Refused: nobody is enrolled there, or others may read a key.
            Corrupt: `federation.json` is not as it was written.
        """
        known = _read_who(folder)
        _settle_renewal(folder)
        return cls(
            folder=folder,
            **known,
            tls_key_pem=read_private(folder / "tls.key"),
            tls_chain_pem=(folder / "tls.pem").read_bytes(),
            root_pem=(folder / "root.pem").read_bytes(),
        )

    @property
    def log(self) -> Log:
        """The federation's log, as statements name it."""
        return Log.of(self.federation, self.root)

    @property
    def actor(self) -> str:
        """How statements name this identity: `site/NAME`."""
        return names.actor(self.role, self.name)

    @property
    def peer(self) -> Peer:
        """What its present certificate says."""
        return peer_name(self.tls_chain_pem)

    def signing_key(self) -> SigningKey:
        """Read the key that it speaks with: agent's, operator's or auditor's."""
        return SigningKey.load(self.folder / KEY_FILE[self.role], passphrase=None)


def prepare(
    folder: Path, token: Token, *, officers: Sequence[SigningKey] = (), now: datetime
) -> EnrolRequest:
    """Make all keys in a folder and return the request that enrols them.

    Called again with the same token it returns the same request, with the clock of now; unless
    the clock was set back since, for a statement of the future is accepted nowhere.

    Args:
        folder: Made with mode 0700 when it is not there.
        token: The invitation.
        officers: A site's officer keys, one at least.
        now: The present time.

    Raises:
        Refused: somebody is enrolled there, or a site has no officer.
    """
    if (folder / _WHO).exists():
        raise Refused(
            "somebody is enrolled in this folder already",
            where=str(folder),
            todo="Choose another folder for another federation or name.",
            rule="already-enrolled",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun = _pending(folder)
    if begun is None or begun["token"] != mint(token) or _of_the_future(begun, now):
        begun = _begin(folder, token, officers=officers, now=now)
    return EnrolRequest(
        secret=token.secret,
        csr=bytes.fromhex(begun["csr"]),
        statement=begun["statement"].encode(),
        clock=now,
    )


def _of_the_future(begun: Mapping[str, str], now: datetime) -> bool:
    return read(begun["statement"].encode()).at > now + SKEW_LIMIT


def finish(folder: Path, enrolled: Enrolled, *, now: datetime) -> Identity:
    """Check what the coordinator gave before a byte of it is kept, then keep it.

    Raises:
        PeerFault: the certificates are no chain.
        Refused: the root is not the token's, or the certificate is not for this name and key.
    """
    begun = _pending(folder)
    if begun is None:
        raise Refused("no enrolment was begun here", where=str(folder), rule="not-begun")
    token = read_token(begun["token"])
    chain = (*read_chain(enrolled.chain), *read_chain(enrolled.root))
    peer = check_chain(chain, root=token.root, now=now)
    expected = (token.federation, token.role, token.name)
    if (peer.federation, peer.role, peer.name) != expected:
        raise Refused("this certificate is for another name", rule="wrong-name")
    _check_key(folder / "tls.key", peer)
    if not enrolled.ledger_key.startswith(f"{Log.of(token.federation, token.root).origin}+"):
        raise Refused("this ledger key is another log's", rule="wrong-log")
    replace_public(folder / "root.pem", enrolled.root)
    replace_public(folder / "tls.pem", enrolled.chain)
    who = {
        "federation": token.federation,
        "role": token.role,
        "name": token.name,
        "coordinator": token.coordinator,
        "root": token.root,
        "ledger_key": enrolled.ledger_key,
    }
    replace_public(folder / _WHO, json.dumps(who, indent=2).encode() + b"\n")
    (folder / _PENDING).unlink()
    return Identity.load(folder)


def officer_key(path: Path, passphrase: bytes) -> SigningKey:
    """Return the officer key of a file, made there when there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        SigningKey.generate().save(path, passphrase=passphrase)
    return SigningKey.load(path, passphrase=passphrase)


def begin_renewal(identity: Identity, signers: Sequence[Signer]) -> CertificateRequest:
    """Make the next TLS key beside the present one, and return the request for it."""
    key = _tls_key(identity.folder / "tls.next.key")
    return make_request(make_csr(key), actor=identity.actor, log=identity.log, signers=signers)


def begin_late_renewal(
    identity: Identity, token: Token, *, officer: SigningKey, now: datetime
) -> RenewalRequest:
    """Return the request for a token in place of a certificate that has ended.

    Called again with the same token it returns the same request, with the clock of now.

    Raises:
        Refused: the certificate holds still, or the token is not this identity's.
    """
    if now <= identity.peer.not_after:
        raise Refused(
            f"the certificate holds until {identity.peer.not_after:%Y-%m-%d %H:%M} UTC",
            where=str(identity.folder),
            todo="Start the agent: it renews its certificate by itself, over its session.",
            rule="certificate-holds",
        )
    mine = (identity.federation, identity.role, identity.name)
    if (token.federation, token.role, token.name) != mine:
        raise Refused(
            f"this token is for {token.role} {token.name} of {token.federation}, but here is "
            f"{identity.actor} of {identity.federation}",
            rule="token-for-another",
        )
    if token.root != identity.root:
        raise Refused("this token names another root than we enrolled by", rule="wrong-root")
    path = identity.folder / _LATE
    begun = _strings(path, read_private(path), _LATE_FIELDS) if path.exists() else None
    if begun is None or begun["token"] != mint(token):
        begun = _begin_late(identity, token, officer)
        replace_private(path, json.dumps(begun).encode())
    return RenewalRequest(
        secret=token.secret,
        csr=bytes.fromhex(begun["csr"]),
        proof=begun["proof"].encode(),
        certificate=identity.tls_chain_pem,
        clock=now,
    )


def _begin_late(identity: Identity, token: Token, officer: SigningKey) -> dict[str, str]:
    csr = make_csr(_tls_key(identity.folder / "tls.next.key"))
    former = AuthorityKey(_tls_key(identity.folder / "tls.key"))
    proof = make_proof(
        csr,
        token.secret,
        actor=identity.actor,
        log=identity.log,
        signers=[former, identity.signing_key(), officer],
    )
    return {"token": mint(token), "csr": csr.hex(), "proof": proof.decode()}


def finish_renewal(identity: Identity, chain_pem: bytes, *, now: datetime) -> Identity:
    """Check a renewed certificate and change over to it, in an order that survives a crash.

    Raises:
        PeerFault: the certificates are no chain.
        Refused: it is not for this name, or not for the key that was made.
    """
    check_renewed(identity, chain_pem, now=now)
    replace_public(identity.folder / "tls.next.pem", chain_pem)
    (identity.folder / _LATE).unlink(missing_ok=True)
    return Identity.load(identity.folder)


def check_renewed(identity: Identity, chain_pem: bytes, *, now: datetime) -> Peer:
    """Check a renewed certificate as `finish_renewal` does, and return whom it names."""
    chain = (*read_chain(chain_pem), *read_chain(identity.root_pem))
    peer = check_chain(chain, root=identity.root, now=now)
    if peer.federation != identity.federation or peer.actor != identity.actor:
        raise Refused("this certificate is for another name", rule="wrong-name")
    _check_key(identity.folder / "tls.next.key", peer)
    return peer


def begin_rotation(identity: Identity) -> SigningKey:
    """Return the next signing key, made beside the present one when it is not there yet."""
    path = identity.folder / f"next-{KEY_FILE[identity.role]}"
    if not path.exists():
        SigningKey.generate().save(path, passphrase=None)
    return SigningKey.load(path, passphrase=None)


def finish_rotation(identity: Identity) -> SigningKey:
    """Put the next signing key in the present one's place, once the log has `key-rotated`."""
    path = identity.folder / KEY_FILE[identity.role]
    move(path.with_name(f"next-{path.name}"), path)
    return SigningKey.load(path, passphrase=None)


def _begin(
    folder: Path, token: Token, *, officers: Sequence[SigningKey], now: datetime
) -> dict[str, str]:
    if token.role == "site" and not officers:
        raise Refused("a site enrols with an officer's key", rule="officer-needed")
    tls = _tls_key(folder / "tls.key")
    path = folder / KEY_FILE[token.role]
    if not path.exists():
        SigningKey.generate().save(path, passphrase=None)
    key = SigningKey.load(path, passphrase=None)
    body = enrolled_body(
        token.name,
        token.role,
        key=key.key_id,
        officers=[officer.key_id for officer in officers],
        tls=tls.public_key(),
    )
    log = Log.of(token.federation, token.root)
    statement = enrolled_statement(body, key=key, officers=officers, log=log, at=now)
    begun = {
        "token": mint(token),
        "csr": make_csr(tls).hex(),
        "statement": statement.decode(),
    }
    replace_private(folder / _PENDING, json.dumps(begun).encode())
    return begun


def _pending(folder: Path) -> dict[str, str] | None:
    path = folder / _PENDING
    if not path.exists():
        return None
    return _strings(path, read_private(path), frozenset({"token", "csr", "statement"}))


def _read_who(folder: Path) -> dict[str, Any]:
    path = folder / _WHO
    try:
        known = _strings(path, path.read_bytes(), _FIELDS)
    except FileNotFoundError:
        raise Refused(
            "nobody is enrolled here",
            where=str(folder),
            todo="Enrol with the token that the federation's operator gives you.",
            rule="not-enrolled",
        ) from None
    if not is_digest(known["root"]) or known["role"] not in KEY_FILE:
        raise _damaged(path)
    return known


def _strings(path: Path, data: bytes, fields: frozenset[str]) -> dict[str, str]:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if isinstance(value, dict) and set(value) == fields:
        texts = {name: text for name, text in value.items() if isinstance(text, str)}
        if len(texts) == len(fields):
            return texts
    raise _damaged(path)


def _damaged(path: Path) -> Corrupt:
    return Corrupt(
        "this file is not as it was written",
        where=str(path),
        todo="Bring the folder back from a backup, or enrol anew into another one.",
        rule="identity-damaged",
    )


def _settle_renewal(folder: Path) -> None:
    """Once `tls.next.pem` is there, the next key goes first and its certificate last."""
    if not (folder / "tls.next.pem").exists():
        return
    if (folder / "tls.next.key").exists():
        move(folder / "tls.next.key", folder / "tls.key")
    move(folder / "tls.next.pem", folder / "tls.pem")


def _tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        write_private(path, private_pem(make_tls_key(), passphrase=None))
    key = load_private_key(path, passphrase=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused("this file holds no P-256 key", where=str(path), rule="key-type")
    return key


def _check_key(path: Path, peer: Peer) -> None:
    if spki_sha256(_tls_key(path).public_key()) != peer.spki_sha256:
        raise Refused("this certificate is for another key", rule="wrong-key")
