"""What is kept: how a hold names what it protects, and how a disclosed value is named.

A hold's subject is `all`, `site/NAME`, `round/NUMBER` or `entry/SEQ`; a value that an entry
only commits to is `SEQ:LABEL`, such as `17:officer`.
"""

from __future__ import annotations

import re
from typing import Final

from governance.identity import names
from protos.errors import Refused

ALL: Final = "all"
_NUMBER: Final = r"(0|[1-9][0-9]{0,14})"
_NUMBERED: Final = re.compile(rf"(round|entry)/{_NUMBER}", re.ASCII)
_DISCLOSURE: Final = re.compile(rf"{_NUMBER}:([a-z][a-z0-9-]{{0,63}})", re.ASCII)


def is_subject(value: object) -> bool:
    """Tell whether this names what a hold may protect, in the one form of it."""
    if not isinstance(value, str):
        return False
    role, _, name = value.partition("/")
    if role == "site":
        return names.is_name(name)
    return value == ALL or _NUMBERED.fullmatch(value) is not None


def check_subject(text: str) -> str:
    """Return a subject as it is, or raise Refused saying what it may be."""
    if not is_subject(text):
        raise Refused(
            f"{text!r} names nothing that a hold could protect",
            todo="Name all, site/NAME, round/NUMBER or entry/SEQ; for example site/charite.",
            rule="bad-subject",
        )
    return text


def subjects(seq: int, site: str | None, round_: int | None) -> frozenset[str]:
    """Return the subjects of which a hold protects what an entry discloses."""
    said = {ALL, f"entry/{seq}"}
    if site is not None:
        said.add(f"site/{site}")
    if round_ is not None:
        said.add(f"round/{round_}")
    return frozenset(said)


def parse_disclosure(text: str) -> tuple[int, str]:
    """Return the entry and the label that `SEQ:LABEL` names, or raise Refused."""
    found = _DISCLOSURE.fullmatch(text)
    if found is None:
        raise Refused(
            f"{text!r} names no disclosed value",
            todo="Name its entry and its label, as `concilium-ledger show` prints them; for "
            "example 17:officer.",
            rule="bad-disclosure-name",
        )
    return int(found[1]), found[2]
