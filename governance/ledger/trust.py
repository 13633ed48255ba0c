"""Whether the hospitals in a log are those whose keys an auditor has from elsewhere.

The officer key is the anchor: what it vouched for, its hospital said. A coordinator can invent
five hospitals with keys of their own and a history in which all agrees; not with these keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance import statements
from governance.ledger.entry import Entry
from governance.ledger.replay import Fault
from governance.statements import parse_time
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from governance.ledger.source import Source
    from governance.ledger.walk import Walk


def fault(source: Source, walk: Walk, trusted: Mapping[str, frozenset[KeyId]]) -> Fault | None:
    """Return the first key of a site that its hospital's own keys do not vouch for.

    Args:
        source: A log in which the walk found no fault: every signature in it is good.
        walk: That walk.
        trusted: The hospitals' keys by name.
    """
    believed = {name: set(keys) for name, keys in trusted.items()}
    for held in source.entries():
        statement = statements.read(held.envelope)
        if statement.kind not in {"enrolled", "key-rotated"}:
            continue
        entry = Entry(held.seq, parse_time(held.received_at), statement)
        broken = _check(entry, believed, set(walk.keyring.officers()))
        if broken:
            return Fault(held.seq, "untrusted-key", broken)
    return _ledger_key(walk, trusted)


def _check(entry: Entry, believed: dict[str, set[KeyId]], officers: set[KeyId]) -> str:
    """Return what is wrong with the keys that an entry brings in; believe them otherwise.

    An agent's key needs an officer's word; the agent key before it is not enough.
    """
    body, site = entry.body, entry.actor_name
    if entry.statement.actor != f"site/{site}":
        return ""
    known = believed.get(site, set())
    if not known:
        return (
            f"{site} enrolled here, but the trusted keys name no such hospital; it was "
            "invented, or its keys are missing from the file"
        )
    if entry.statement.kind == "key-rotated":
        brought = [KeyId(body["new"])]
        vouchers = [key for key in entry.statement.signatures if key in known & officers]
        vouchers = [key for key in vouchers if key != body["new"]]
    else:
        brought = [KeyId(body["agent"])]
        vouchers = [KeyId(key) for key in body["officers"]]
    return _vouched(site, brought, vouchers, known)


def _vouched(
    site: str, brought: Iterable[KeyId], vouchers: list[KeyId], known: set[KeyId]
) -> str:
    strange = next((key for key in vouchers if key not in known), None)
    if strange is not None:
        return (
            f"the officer key {strange} of {site} is not one that the hospital gave; "
            "somebody enrolled in its name, or the file is out of date"
        )
    if not vouchers:
        return f"no key that {site} gave vouches for its new key; somebody replaced it"
    known.update(brought)
    return ""


def _ledger_key(walk: Walk, trusted: Mapping[str, frozenset[KeyId]]) -> Fault | None:
    """Compare the log's own key too, where the auditor has it."""
    known = trusted.get("coordinator", frozenset())
    first = next(iter(walk.keyring.of("coordinator", "ledger")), None)
    if known and first not in known:
        return Fault(0, "untrusted-key", "another key than the trusted one founded this log")
    return None
