"""The messages of a masked sum, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from protos.codec import fields
from protos.concilium.v1 import federation_pb2 as pb
from protos.words_masks import (
    Delivered,
    Keys,
    MaskAsked,
    MaskSaid,
    Opened,
    Peers,
    Sealed,
    Signed,
    Survivors,
    Unmask,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from protos.words_masks import AskedBody, SaidBody

SITES: Final = 100
"""How many sites a masked sum has at most."""
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_VALUE_BYTES: Final = (64, 148)
"""Of a signature, a share and a sealed pair of shares; which it must be, the protocol says."""
TERMS_BYTES: Final = 64 * 1024
VECTOR_BYTES: Final = 64 * 1024
"""Of masked figures of quality: two hundred times as many as any target has."""
_Body = TypeVar("_Body")


def said_in(m: pb.MaskSaid) -> MaskSaid:
    """Check what a site says in a masked sum."""
    return MaskSaid(fields.task("mask_said.task", m.task), _member("mask_said", m, _SAID))


def said_out(w: MaskSaid) -> pb.MaskSaid:
    """Return the message for a site's word."""
    said = w.said
    if isinstance(said, Keys):
        return pb.MaskSaid(task=w.task, keys=_keys_out(said))
    if isinstance(said, Sealed):
        shares = pb.MaskShares(
            site=said.site,
            shares=_named_out(said.shares),
            digests=_named_out(said.digests),
            commitment=said.commitment,
            signature=said.signature,
        )
        return pb.MaskSaid(task=w.task, shares=shares)
    if isinstance(said, Signed):
        return pb.MaskSaid(task=w.task, signed=pb.MaskSigned(signature=said.signature))
    if isinstance(said, Vector):
        return pb.MaskSaid(task=w.task, vector=pb.MaskVector(values=said.values))
    opened = pb.MaskOpened(own_masks=_named_out(said.own_masks), keys=_named_out(said.keys))
    return pb.MaskSaid(task=w.task, opened=opened)


def asked_in(m: pb.MaskAsked) -> MaskAsked:
    """Check what a site is brought in a masked sum."""
    return MaskAsked(fields.task("mask_asked.task", m.task), _member("mask_asked", m, _ASKED))


def asked_out(w: MaskAsked) -> pb.MaskAsked:
    """Return the message for what a site is brought."""
    asked = w.asked
    if isinstance(asked, Peers):
        peers = pb.MaskPeers(keys=[_keys_out(one) for one in asked.keys])
        return pb.MaskAsked(task=w.task, peers=peers)
    if isinstance(asked, Delivered):
        delivered = pb.MaskDelivered(
            shares=_named_out(asked.shares), digests=_named_out(asked.digests)
        )
        return pb.MaskAsked(task=w.task, delivered=delivered)
    if isinstance(asked, Survivors):
        return pb.MaskAsked(task=w.task, survivors=pb.MaskSurvivors(sites=asked.sites))
    unmask = pb.MaskUnmask(
        survivors=asked.survivors,
        dropped=asked.dropped,
        signatures=_named_out(asked.signatures),
    )
    return pb.MaskAsked(task=w.task, unmask=unmask)


def _member(
    field: str, m: pb.MaskSaid | pb.MaskAsked, doors: Mapping[str, Callable[[str, Any], _Body]]
) -> _Body:
    """Check whichever member of the message's union is there."""
    for name, enter in doors.items():
        if m.HasField(name):  # type: ignore[arg-type]  # a name of either union
            return enter(f"{field}.{name}", getattr(m, name))
    raise fields.fault(field, "is of a kind that this version does not know")


def _keys_in(field: str, m: pb.MaskKeys) -> Keys:
    return Keys(
        site=fields.name(f"{field}.site", m.site),
        mask=_exactly(f"{field}.mask", m.mask, _KEY_BYTES),
        share=_exactly(f"{field}.share", m.share, _KEY_BYTES),
        signature=_exactly(f"{field}.signature", m.signature, _SIGNATURE_BYTES),
    )


def _keys_out(w: Keys) -> pb.MaskKeys:
    return pb.MaskKeys(site=w.site, mask=w.mask, share=w.share, signature=w.signature)


def _sealed_in(field: str, m: pb.MaskShares) -> Sealed:
    return Sealed(
        site=fields.name(f"{field}.site", m.site),
        shares=_named_in(f"{field}.shares", m.shares),
        digests=_named_in(f"{field}.digests", m.digests),
        commitment=fields.digest(f"{field}.commitment", m.commitment),
        signature=_exactly(f"{field}.signature", m.signature, _SIGNATURE_BYTES),
    )


def _signed_in(field: str, m: pb.MaskSigned) -> Signed:
    return Signed(_exactly(f"{field}.signature", m.signature, _SIGNATURE_BYTES))


def _vector_in(field: str, m: pb.MaskVector) -> Vector:
    values = fields.octets(f"{field}.values", m.values, least=4, most=VECTOR_BYTES)
    if len(values) % 4:
        raise fields.fault(f"{field}.values", "is no whole number of numbers")
    return Vector(values)


def _opened_in(field: str, m: pb.MaskOpened) -> Opened:
    return Opened(
        own_masks=_named_in(f"{field}.own_masks", m.own_masks),
        keys=_named_in(f"{field}.keys", m.keys),
    )


def _peers_in(field: str, m: pb.MaskPeers) -> Peers:
    some = fields.some(f"{field}.keys", m.keys, most=SITES)
    return Peers(tuple(_keys_in(f"{field}.keys", one) for one in some))


def _delivered_in(field: str, m: pb.MaskDelivered) -> Delivered:
    return Delivered(
        _named_in(f"{field}.shares", m.shares), _named_in(f"{field}.digests", m.digests)
    )


def _survivors_in(field: str, m: pb.MaskSurvivors) -> Survivors:
    return Survivors(_sites_in(f"{field}.sites", m.sites))


def _unmask_in(field: str, m: pb.MaskUnmask) -> Unmask:
    return Unmask(
        survivors=_sites_in(f"{field}.survivors", m.survivors),
        dropped=_sites_in(f"{field}.dropped", m.dropped),
        signatures=_named_in(f"{field}.signatures", m.signatures),
    )


def _sites_in(field: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(fields.name(field, one) for one in fields.some(field, names, most=SITES))


def _named_in(field: str, messages: Iterable[pb.MaskNamed]) -> dict[str, bytes]:
    least, most = _VALUE_BYTES
    some = fields.some(field, messages, most=SITES)
    named: dict[str, bytes] = {
        fields.name(f"{field}.site", one.site): fields.octets(
            f"{field}.value", one.value, least=least, most=most
        )
        for one in some
    }
    if len(named) != len(some):
        raise fields.fault(field, "names a site twice")
    return named


def _named_out(values: Mapping[str, bytes]) -> list[pb.MaskNamed]:
    return [pb.MaskNamed(site=site, value=values[site]) for site in sorted(values)]


def _exactly(field: str, value: bytes, size: int) -> bytes:
    return fields.octets(field, value, least=size, most=size)


_SAID: Final[Mapping[str, Callable[[str, Any], SaidBody]]] = {
    "keys": _keys_in,
    "shares": _sealed_in,
    "signed": _signed_in,
    "opened": _opened_in,
    "vector": _vector_in,
}
_ASKED: Final[Mapping[str, Callable[[str, Any], AskedBody]]] = {
    "peers": _peers_in,
    "delivered": _delivered_in,
    "survivors": _survivors_in,
    "unmask": _unmask_in,
}
