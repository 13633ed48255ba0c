"""DSSE envelopes (secure-systems-lab): signed bytes that cannot be taken for another type.

A signature is over "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body. The envelope is
canonical JSON with its signatures in the order of their keys: one form for given signatures.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any, Final

from governance import canonical
from governance.identity.keys import parse_key_id, verify
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography import x509

    from governance.identity.keys import Signer
    from protos.words import KeyId

_PAYLOAD: Final = b'{"payload":"'
ENVELOPE_LIMIT_BYTES: Final = 64 * 1024
SIGNATURES_LIMIT: Final = 16


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding, the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, signers: Sequence[Signer]) -> bytes:
    """Return the envelope of a payload with a signature of each signer."""
    message = pae(payload_type, payload)
    signatures = {signer.key_id: signer.sign(message) for signer in signers}
    return envelope_of(payload_type, payload, signatures)


def envelope_of(payload_type: str, payload: bytes, signatures: Mapping[KeyId, bytes]) -> bytes:
    """Return the one envelope of a payload and its signatures."""
    # Written out, not encoded: base64 and key ids hold nothing that JSON would escape.
    signed = ",".join(
        f'{{"keyid":"{key}","sig":"{_text(signatures[key])}"}}' for key in sorted(signatures)
    )
    kind = f'"payloadType":"{payload_type}"'
    return f'{{"payload":"{_text(payload)}",{kind},"signatures":[{signed}]}}'.encode()


def unseal(payload_type: str, envelope: bytes) -> tuple[bytes, dict[KeyId, bytes]]:
    """Return payload and signatures of an envelope of this type, which are not verified here.

    Raises:
        PeerFault: it is too long, of another type, or not exactly as `envelope_of` writes it.
    """
    if len(envelope) > ENVELOPE_LIMIT_BYTES:
        raise _fault(f"it has more than {ENVELOPE_LIMIT_BYTES} bytes")
    outer = canonical.loads(envelope)
    if set(outer) != {"payload", "payloadType", "signatures"}:
        raise _fault("its fields are not those of DSSE")
    if outer["payloadType"] != payload_type:
        raise _fault(f"its payloadType is not {payload_type}")
    payload = _base64(outer["payload"])
    signatures = _signatures(outer["signatures"])
    if envelope_of(payload_type, payload, signatures) != envelope:
        raise _fault("it has another form than its one")
    return payload, signatures


def peek(envelope: bytes) -> bytes:
    """Return what seems to be the payload, for whoever reads it strictly where it matters.

    Where there is none to see, it is the envelope itself.
    """
    start = len(_PAYLOAD)
    text = envelope[start : envelope.find(b'"', start)]
    try:
        return binascii.a2b_base64(text) if envelope.startswith(_PAYLOAD) else envelope
    except ValueError:
        return envelope


def check_signed(
    message: bytes,
    signatures: Mapping[KeyId, bytes],
    keys: Iterable[KeyId],
    *,
    certificates: Mapping[KeyId, x509.Certificate] | None = None,
) -> None:
    """Check that each of these keys signed `message`, or raise Refused naming the first."""
    for key in keys:
        signature = signatures.get(key)
        if signature is None or not verify(key, signature, message, certificates=certificates):
            raise Refused(f"there is no good signature by {key}", rule="bad-signature")


def _signatures(items: Any) -> dict[KeyId, bytes]:  # noqa: ANN401 - parsed right here
    if not isinstance(items, list) or not 1 <= len(items) <= SIGNATURES_LIMIT:
        raise _fault(f"it has not 1 to {SIGNATURES_LIMIT} signatures")
    signatures: dict[KeyId, bytes] = {}
    for item in items:
        if not isinstance(item, dict) or set(item) != {"keyid", "sig"}:
            raise _fault("a signature has not keyid and sig")
        if not isinstance(item["keyid"], str):
            raise _fault("a signature's keyid is no text")
        signatures[parse_key_id(item["keyid"])] = _base64(item["sig"])
    return signatures


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise _fault("a base64 text is missing")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise _fault("a text is no base64") from None


def _fault(what: str) -> PeerFault:
    return PeerFault(f"an envelope cannot be read: {what}", rule="bad-envelope")
