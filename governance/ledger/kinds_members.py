"""Kinds of entries about who is who: enrolments, keys, certificates, operators' acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.ledger import founding
from governance.ledger import project_members as members
from governance.ledger.fields import (
    ANY_KEY,
    COUNT,
    DIGEST,
    KEY,
    LABEL,
    NAME,
    PEM,
    RULE,
    SERIAL,
    TIME,
    list_of,
    one_of,
)
from governance.ledger.kind import (
    AGENT,
    AUTHORITY,
    LEDGER,
    OPERATOR,
    REASON,
    SITE,
    Carrier,
    Kind,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEWCOMER: Final = frozenset({Usage.AGENT, Usage.OPERATOR, Usage.AUDITOR, Usage.LEDGER})
_ROLE: Final = one_of("coordinator", "site", "operator", "auditor")

KINDS: Final[Mapping[str, Kind]] = {
    "enrolled": Kind(
        _NEWCOMER,
        Carrier.ENROLMENT,
        {
            "name": NAME,
            "role": _ROLE,
            "agent": KEY,
            "officers": list_of(KEY),
            "needed": COUNT,
            "tls": DIGEST,
        },
        members.enrolled,
        optional_fields=founding.FOUNDS,
    ),
    "certificate-issued": Kind(
        AUTHORITY,
        Carrier.OWN,
        {
            "name": NAME,
            "role": _ROLE,
            "serial": SERIAL,
            "fingerprint": DIGEST,
            "not_after": TIME,
        },
        members.certificate_issued,
    ),
    "key-rotated": Kind(
        SITE | LEDGER,
        Carrier.SESSION,
        {
            "name": NAME,
            "usage": one_of("agent", "officer", "authority"),
            "old": ANY_KEY,
            "new": ANY_KEY,
        },
        members.key_rotated,
        optional_fields={"issuing": PEM},
    ),
    "revoked": Kind(
        OPERATOR,
        Carrier.OPERATOR,
        {"name": NAME, "serials": list_of(SERIAL)},
        members.revoked,
        disclosed=REASON,
    ),
    "software-started": Kind(
        AGENT | LEDGER,
        Carrier.SESSION,
        {"program": LABEL, "version": LABEL, "os": LABEL},
        members.nothing,
    ),
    "operator-acted": Kind(
        OPERATOR, Carrier.OPERATOR, {"act": RULE}, members.operator_acted, disclosed=REASON
    ),
}
