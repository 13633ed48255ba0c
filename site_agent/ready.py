"""A cohort that may train: read, checked against the agreement's contract, split.

The worker is warm, and a hospital's file seldom changes between two tasks: the last cohort is
kept as long as the file, the agreement and the patients who opted out stay the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protos.errors import Corrupt, Refused
from site_agent.data import cohort, contract, table
from site_agent.jobs import settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from site_agent.data.cohort import Cohort

_SECRET_BYTES: Final = 32
_kept: dict[tuple[Any, ...], Cohort] = {}


def ready(
    spec: Mapping[str, Any], document: Document, *, by: Agreement | None = None
) -> Cohort:
    """Return the cohort of a specification (`jobs.cohort_spec`), ready to train.

    `by` is the agreement with what quantities are normalised by in place of its references.

    Raises:
        Refused: It can't be read (the data package's rules), or `data-contract`: it does not
            meet the agreement's.
        Corrupt: The secret that decides who is held out is not one.
    """
    source = Path(spec["settings"]["source"]["csv"])
    stamp = (source.stat().st_mtime_ns, source.stat().st_size) if source.exists() else ()
    encoded = by or document.agreement
    key = (json.dumps(spec, sort_keys=True), document.digest, stamp, _references(encoded))
    if key not in _kept:
        made = _read(spec, document.agreement, encoded)
        _kept.clear()
        _kept[key] = made
    return _kept[key]


def _references(agreement: Agreement) -> tuple[object, ...]:
    return tuple(
        (one.reference.mean, one.reference.std) if one.reference else None
        for one in agreement.data.features
    )


def _read(spec: Mapping[str, Any], agreement: Agreement, encoded: Agreement) -> Cohort:
    settings = settings_of(spec)
    records = table.read(settings, agreement, opt_outs=frozenset(spec["opt_outs"]))
    findings = contract.check(records, agreement, settings)
    if not findings.met:
        raise Refused(
            f"the cohort does not meet the agreement's contract: {', '.join(findings.broken)}",
            todo="`concilium-site check` shows what was found.",
            rule="data-contract",
        )
    return cohort.of_table(
        records, encoded, secret=_secret(Path(spec["secret"])), held_out=settings.held_out
    )


def _secret(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise Corrupt(
            f"this file has {len(secret)} bytes, but must have {_SECRET_BYTES}",
            where=str(path),
            todo="Bring it back from a backup: with another, held-out patients would train.",
            rule="held-out-secret",
        )
    return secret
