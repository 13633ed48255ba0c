"""Whether the cohort meets an agreement's standards; looked at again when the file changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protos.errors import ConciliumError
from site_agent.store import optouts

if TYPE_CHECKING:
    from governance.agreement.load import Document
    from governance.settings import CohortSettings
    from site_agent.data.findings import Findings
    from site_agent.membership import Membership


@dataclass(frozen=True, slots=True)
class Seen:
    """What a cohort is like under an agreement.

    Attributes:
        fault: What keeps it from training, or nothing.
        patients: How many can be used, those who opted out left out.
        opted_out: Who is in the source and left out.
    """

    fault: str = ""
    patients: int = 0
    opted_out: frozenset[str] = frozenset()


class Readiness:
    """Checks a cohort in a thread, and keeps the answer while nothing changes.

    That is the file, the agreement, and who opted out.
    """

    def __init__(self, m: Membership) -> None:
        self._m = m
        self._known: tuple[tuple[object, ...], Seen] | None = None

    async def look(self, document: Document) -> Seen:
        """Return what the cohort is like under an agreement."""
        m = self._m
        cohort = m.settings.cohorts[m.cohort]
        gone = await m.store.ask(lambda c: optouts.of_cohort(c, m.cohort))
        try:
            stat = cohort.source.csv.stat()
        except OSError as problem:
            return Seen(f"the cohort's file cannot be read: {problem.strerror}")
        key = (stat.st_mtime_ns, stat.st_size, stat.st_ino, document.digest, gone)
        if self._known is None or self._known[0] != key:
            self._known = key, await asyncio.to_thread(_seen, cohort, document, gone)
        return self._known[1]


def findings(
    cohort: CohortSettings, document: Document, *, opt_outs: frozenset[str] = frozenset()
) -> Findings:
    """Read a cohort and compare it with an agreement's contract.

    Raises:
        Refused: the cohort cannot be read.
    """
    return _read(cohort, document, opt_outs)[0]


def _read(
    cohort: CohortSettings, document: Document, opt_outs: frozenset[str]
) -> tuple[Findings, frozenset[str]]:
    from site_agent.data import contract, table

    records = table.read(cohort, document.agreement, opt_outs=opt_outs)
    return contract.check(records, document.agreement, cohort), records.opted_out


def _seen(cohort: CohortSettings, document: Document, opt_outs: frozenset[str]) -> Seen:
    try:
        found, left_out = _read(cohort, document, opt_outs)
    except ConciliumError as problem:
        return Seen(problem.what)
    fault = "" if found.met else f"{', '.join(found.broken)}"
    return Seen(fault, found.patients, left_out)
