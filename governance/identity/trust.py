"""Keys known from elsewhere: one `<name> <usage> <key id>` line each, as hospitals print them.

What `concilium-site key` prints is what `--trust` reads; an auditor gets it from each hospital,
on paper or by a call, never from the coordinator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.identity import names
from governance.identity.keys import parse_key_id
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protos.words import KeyId

USAGES: Final = ("officer", "agent", "operator", "auditor", "ledger", "authority")


def trust_lines(name: str, keys: Mapping[str, Sequence[KeyId]]) -> str:
    """Return the lines of one name's public keys, given by usage."""
    return "".join(f"{name} {usage} {key}\n" for usage in USAGES for key in keys.get(usage, ()))


def parse_trust(text: str, *, where: str = "trust.keys") -> Mapping[str, frozenset[KeyId]]:
    """Read such lines; empty ones and those that start with # are skipped.

    Raises:
        Refused: a line is something else; all such lines are named.
    """
    # Stops a record from vouching for itself: an export's own keys establish nothing.
    if text.lstrip().startswith(("[", "{")):
        raise Refused(
            f"{where} is JSON, as an export's keys.json is, and says only what the record says",
            todo="Ask each hospital for what `concilium-site key` prints, and put the lines of "
            "all of them into one file.",
            rule="bad-trust",
        )
    keys: dict[str, frozenset[KeyId]] = {}
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, key = _read(line)
        except PeerFault as fault:
            faults.append(f"{where}:{number}: {fault}")
        else:
            keys[name] = keys.get(name, frozenset()) | {key}
    if faults or not keys:
        raise Refused(
            "\n".join(faults) or f"{where}: there is no key in it",
            todo="Each line is `<name> <usage> <key>`; ask the hospital for it again: "
            "`concilium-site key` prints it.",
            rule="bad-trust",
        )
    return keys


def _read(line: str) -> tuple[str, KeyId]:
    match line.split():
        case [name, usage, key] if names.is_name(name) and usage in USAGES:
            try:
                return name, parse_key_id(key)
            except PeerFault as fault:
                what = f"the {usage} key of {name} is none: {fault.what}"
                raise PeerFault(what, rule="bad-trust") from None
        case [name, usage, _] if names.is_name(name):
            what = f"{name} has no key called {usage[:20]}, but {', '.join(USAGES)}"
            raise PeerFault(what, rule="bad-trust")
    raise PeerFault("this line is no name, usage and key", rule="bad-trust")
