"""Released models as this site's own copy of the ledger has them, and what of them is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from governance.ledger import release_folder
from protos.errors import Refused
from site_agent.store import releases
from site_agent.store.copy import Copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from site_agent.membership import Membership
    from site_agent.store.releases import Release

T = TypeVar("T")


def in_copy(m: Membership, question: Callable[[Connection], T]) -> T:
    """Ask this site's own copy of the ledger."""
    copy = Copy.open(m.premises.copy_of(m.federation))
    try:
        return copy.now(question)
    finally:
        copy.close()


def every(m: Membership) -> list[Release]:
    """Return every release, the oldest first."""
    return in_copy(m, releases.every)


def fetched(m: Membership) -> set[str]:
    """Return the names of the releases that lie here."""
    card = release_folder.CARD
    return {path.parent.name for path in m.premises.releases.glob(f"*/{card}")}


def check_stands(release: Release) -> None:
    """Check that a release was not recalled, or refuse."""
    if release.recalled_seq is not None:
        raise Refused(
            f"the release {release.name} was recalled at entry {release.recalled_seq}",
            todo="Do not use its model any more; ask the operator which one stands.",
            rule="release-recalled",
        )


def rows(m: Membership) -> list[tuple[object, ...]]:
    """Return a row of `models` for each release: its model, name, standing, round and bytes."""
    here = fetched(m)
    return [_row(m, release, here=release.name in here) for release in every(m)]


def _row(m: Membership, release: Release, *, here: bool) -> tuple[object, ...]:
    standing = "fetched" if here else "can be fetched"
    if release.recalled_seq is not None:
        standing = "RECALLED: do not use it" if here else "recalled"
    file = m.premises.releases / release.name / release_folder.MODEL
    size = file.stat().st_size if here else ""
    told = f"round {release.round}"
    return release.model[:12], f"release {release.name}", standing, told, size


def warnings(m: Membership) -> list[str]:
    """Return a sentence for each release that lies here and was recalled."""
    here = fetched(m)
    return [
        f"The release {one.name} was recalled (entry {one.recalled_seq}): stop using it."
        for one in every(m)
        if one.recalled_seq is not None and one.name in here
    ]
