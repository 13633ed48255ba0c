"""Everything that reads a peer's bytes, each with good samples of what it reads."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from coordinator import aggregate, unmasking
from governance import canonical, dsse, figures, noised, statements, subgroups, tensors
from governance.agreement.load import load, parse
from governance.identity import certificate, enrolment, enrolment_files, issuing, keys, trust
from governance.identity.certificate import check_chain
from governance.ledger import checkpoint, exit_certificate, note, release_proof
from governance.ledger.kinds import KINDS, check_form
from governance.ledger.source import split_witnesses
from governance.models import parameter_shapes
from governance.secagg.fixed_point import Scale
from governance.secagg.terms import Part, Terms, threshold_of
from governance.statements import Chain, Log
from governance.yaml_positions import read
from protos import codec
from protos.errors import ConciliumError
from protos.words import (
    BlobRef,
    Enrolled,
    EnrolRequest,
    ProvenEntry,
    ReleaseParts,
    RenewalRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography import x509

ROOT: Final = Path(__file__).parents[2]
NOW: Final = datetime(2026, 11, 21, 10, 46, tzinfo=UTC)
KEY: Final = keys.SigningKey.from_seed(bytes(32))
LOG: Final = Log.of("hearts", "e" * 64)
DER: Final = serialization.Encoding.DER
HEX: Final = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Target:
    """A reader of bytes; with `shape` "json" its samples are changed as values too."""

    read: Callable[[bytes], object]
    samples: Sequence[bytes]
    shape: str = "bytes"
    message: type[Any] | None = None


@cache
def agreement():
    return load(ROOT / "configs" / "agreement-example" / "agreement.yaml")


@cache
def heart():
    return load(ROOT / "configs" / "heart" / "agreement.yaml")


def envelope(kind: str, body: dict[str, Any]) -> bytes:
    payload = statements.compose(
        *(kind, body),
        actor="site/amc",
        key=KEY.key_id,
        chain=Chain.START,
        log=LOG,
        at=NOW,
    )
    return statements.sign(payload, [KEY])


PLACE: Final = {"agreement": HEX, "round": 1, "attempt": 1}
BODIES: Final = {
    "software-started": {"program": "x", "version": "1", "os": "y"},
    "consent-withdrawn": {"agreement": HEX},
    "budget-reserved": {
        **PLACE,
        "task": "a/1/1/train",
        "cohort": "all",
        "sampling_rate": "0.1",
        "noise_multiplier": "1",
        "clip": "1",
        "expected_batch": "10",
        "steps": 1,
        "delta": "0.00001",
        "loader": "poisson",
        "unit": "patient",
        "epsilon_total": "1.5",
    },
    "task-refused": {**PLACE, "task": "a/1/1/train", "refusal": "policy"},
    "evaluation-made": {**PLACE, "model": HEX, "mechanism": "exact"},
}


def formed(raw: bytes) -> None:
    """Read a statement and check its form, as whoever takes it does."""
    statement = statements.read(raw)
    check_form(statement)
    statements.check_signatures(statement, [KEY.key_id])


def resigned(raw: bytes) -> None:
    """Have a hostile body signed as it should be, of every kind: its form alone stops it."""
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return
    for kind in KINDS:
        try:
            signed = envelope(kind, said)
        except (TypeError, ValueError, AttributeError):
            return  # our own writer does not say such a thing
        tolerant(lambda signed=signed: check_form(statements.read(signed)))()


@cache
def signed_head() -> str:
    head = checkpoint.Checkpoint(LOG.origin, 5, bytes(range(32)))
    text = checkpoint.sign(head, KEY)
    line = checkpoint.cosign(text, site="amc", key=KEY, at=NOW)
    return checkpoint.with_cosignatures(text, [line])


def heads(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    vkey = checkpoint.log_key(LOG.origin, KEY.key_id)
    for one in (note.parse, split_witnesses, checkpoint.parse_body, note.parse_vkey):
        tolerant(one)(text)
    tolerant(note.parse_line)(text.splitlines()[-1] if text.splitlines() else "")
    tolerant(checkpoint.witnesses)(text, {"amc": KEY.key_id})
    tolerant(checkpoint.only_by)(text, vkey)
    line = text.splitlines()[-1] if text.splitlines() else ""
    witness = checkpoint.witness_key(LOG.origin, "amc", KEY.key_id)
    tolerant(checkpoint.cosignature)(signed_head(), line, witness)
    checkpoint.read(text, vkey)


def tolerant(reader: Callable[..., object]) -> Callable[..., None]:
    """Return a reader whose refusals are none of ours, so that the next one is tried too."""

    def read_(*given: object) -> None:
        with contextlib.suppress(ConciliumError):
            reader(*given)

    return read_


def in_file(place: Path, reader: Callable[[Path], object], raw: bytes) -> None:
    path = place / "peer.bin"
    path.write_bytes(raw)
    reader(path)


def tensor_files(place: Path) -> list[bytes]:
    shapes = parameter_shapes(heart().agreement)
    zeros = {f"y/{n}": np.zeros(s, dtype=np.float32) for n, s in shapes.items()}
    masked = {"masked": np.zeros(12, dtype=np.float32)}
    made = []
    for values in (zeros, masked, {"a": np.ones((2, 3), dtype=np.float32)}):
        blob = tensors.write(values, place)
        made.append(tensors.path_of(place, blob.digest).read_bytes())
    return made


def update(path: Path) -> None:
    document = heart()
    tolerant(unmasking.check_vector)(path, Terms.from_bytes(terms()))
    tolerant(tensors.load)(path)
    aggregate.check_update(
        path,
        parameter_shapes(document.agreement),
        strategy=document.agreement.strategy,
        norm_limits={},
    )


def parts(raw: bytes) -> None:
    """Read what comes of a release, any part of it hostile."""
    half = len(raw) // 2
    entry = ProvenEntry(0, "2026-11-21T10:46:00.000000Z", raw, (bytes(32),))
    for said in (
        ReleaseParts("v1", BlobRef(HEX, 1), raw, (), (entry,), signed_head()),
        ReleaseParts("v1", BlobRef(HEX, 1), raw[:half], (raw[half:],), (), signed_head()),
        ReleaseParts(
            *("v1", BlobRef(HEX, 1), b"{}", (agreement().raw,), (entry,)),
            raw.decode("utf-8", "replace"),
        ),
    ):
        tolerant(release_proof.check)(said)


def texts(reader: Callable[[str], object], raw: bytes) -> None:
    reader(raw.decode("utf-8", "replace"))


def good_figures() -> str:
    bins = (0,) * 50
    made = figures.Figures(
        "binary",
        positives=(*bins[:49], 10),
        negatives=(10, *bins[1:]),
        correct=20,
        log_loss_sum=1.0,
        squared_error_sum=1.0,
        count=20,
    )
    return figures.to_json(made)


@cache
def terms() -> bytes:
    scale = Scale.finest(sites=3, weight=10, bound=1.0)
    made = Terms(
        federation="hearts",
        round=3,
        attempt=1,
        purpose="train",
        model=HEX,
        task=HEX,
        roster=dict.fromkeys(("amc", "kul", "ucl"), KEY.key_id),
        weights=dict.fromkeys(("amc", "kul", "ucl"), 10),
        parts=(Part(12, 1.0, scale.fraction_bits, weighted=True),),
        threshold=threshold_of(3),
        checkpoint=(40, HEX),
    )
    return json.dumps(made.to_json(), sort_keys=True, separators=(",", ":")).encode()


def targets(place: Path) -> dict[str, Target]:
    csr = certificate.make_csr(certificate.make_tls_key())
    request = EnrolRequest(bytes(32), csr, envelope("software-started", {}), NOW)
    renewal = RenewalRequest(bytes(32), csr, envelope("software-started", {}), b"-----", NOW)
    enrolled = Enrolled(b"-----BEGIN CERTIFICATE-----", b"x", "vkey")
    token = enrolment.mint(
        enrolment.Token("hearts", "site", "amc", HEX, "h:1", "h:2", bytes(32))
    )
    said = [envelope(kind, body) for kind, body in BODIES.items()]
    example = (ROOT / "configs" / "agreement-example" / "agreement.yaml").read_bytes()
    figure = good_figures().encode()
    layout = agreement().agreement
    return {
        "agreement document": Target(parse_document, [agreement().raw, heart().raw], "json"),
        "agreement file": Target(partial(in_file, place, load_file), [example]),
        "yaml": Target(partial(in_file, place, read), [example]),
        "canonical JSON": Target(canonical.decode, [agreement().raw, b'{"a":[1,"b"]}'], "json"),
        "statement": Target(formed, said, "envelope"),
        "statement, signed": Target(
            resigned, [canonical.encode(body) for body in BODIES.values()], "json"
        ),
        "DSSE": Target(partial(dsse.unseal, statements.PAYLOAD_TYPE), said, "json"),
        "signed note": Target(heads, [signed_head().encode()]),
        "safetensors": Target(partial(in_file, place, update), tensor_files(place)),
        "figures": Target(partial(texts, figures.from_json), [figure], "json"),
        "figures by subgroup": Target(
            partial(texts, lambda t: subgroups.from_json(t, layout)),
            [b'{"sex":{"F":' + figure + b',"M":null}}', figure],
            "json",
        ),
        "noised figures": Target(
            partial(texts, noised.parse), [b'{"noise":"1.5","values":[1,2,3]}', figure], "json"
        ),
        "terms of a masked sum": Target(Terms.from_bytes, [terms()], "json"),
        "certificate request": Target(certificate.csr_key, [csr]),
        "certificates": Target(certificate.read_chain, [certificate.to_pem(chain())]),
        "certificate's bytes": Target(shown, [one.public_bytes(DER) for one in chain()]),
        "renewal file": Target(
            enrolment_files.read_renewal, [enrolment_files.write_renewal(renewal)], "json"
        ),
        "enrolment request": Target(
            enrolment_files.read_request, [enrolment_files.write_request(request)], "json"
        ),
        "enrolment response": Target(
            enrolment_files.read_response, [enrolment_files.write_response(enrolled)], "json"
        ),
        "token": Target(partial(texts, enrolment.read_token), [token.encode()]),
        "trusted keys": Target(
            partial(texts, trust.parse_trust), [f"amc agent {KEY.key_id}\n".encode()]
        ),
        "exit certificate": Target(
            partial(exit_certificate.check, where="x"),
            [b'{"entries":[],"head":"x","site":"amc"}', agreement().raw],
            "json",
        ),
        "release": Target(parts, [*said, signed_head().encode(), agreement().raw]),
        **{f"wire: {name}": wire(enter) for name, enter in doors()},
    }


def wire(enter: Any) -> Target:
    (message,) = (kind for name, kind in get_type_hints(enter).items() if name != "return")
    return Target(enter, [b""], message=message)


def parse_document(raw: bytes) -> None:
    parse(raw)


def load_file(path: Path) -> None:
    load(path)


@cache
def chain() -> tuple[x509.Certificate, ...]:
    """Return a coordinator's certificate, its issuing authority and the root."""
    root, below, own = (certificate.make_tls_key() for _ in range(3))
    top = issuing.root_authority(root, federation="hearts", now=NOW)
    middle = issuing.issuing_authority(
        below.public_key(), federation="hearts", issuer=top, key=root, now=NOW
    )
    host = issuing.Host.parse("hearts", "localhost")
    leaf = issuing.coordinator(own.public_key(), host=host, issuer=middle, key=below, now=NOW)
    return leaf, middle, top


def shown(der: bytes) -> None:
    """Read a certificate of a peer in each place of its chain, and all that is asked of one."""
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der)
    (hostile,) = certificate.read_chain(pem + b"-----END CERTIFICATE-----\n")
    leaf, middle, top = chain()
    tolerant(certificate.peer_of)(hostile)
    certificate.is_for(hostile, ExtendedKeyUsageOID.CLIENT_AUTH)
    for tried in ((hostile, middle, top), (leaf, hostile, top), (leaf, middle, hostile)):
        root = certificate.fingerprint(tried[-1])
        tolerant(lambda tried=tried, root=root: check_chain(tried, root=root, now=NOW))()


def doors() -> list[tuple[str, Any]]:
    """Return each message that has a door into words, and the door."""
    names = sorted(n.removesuffix("_in") for n in codec.__all__ if n.endswith("_in"))
    return [(name, getattr(codec, f"{name}_in")) for name in names]
