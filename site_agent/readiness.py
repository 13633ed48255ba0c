"""Whether the cohort meets an agreement's standards; looked at again when the file changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from protos.errors import ConciliumError

if TYPE_CHECKING:
    from governance.agreement.load import Document
    from governance.settings import CohortSettings
    from site_agent.data.findings import Findings
    from site_agent.membership import Membership


class Readiness:
    """Checks a cohort in a thread, and keeps the answer while file and agreement stay."""

    def __init__(self, m: Membership) -> None:
        self._m = m
        self._known: tuple[tuple[object, ...], str] | None = None

    async def fault(self, document: Document) -> str:
        """Return what keeps the cohort from training under an agreement, or nothing."""
        cohort = self._m.settings.cohorts[self._m.cohort]
        try:
            stat = cohort.source.csv.stat()
        except OSError as problem:
            return f"the cohort's file cannot be read: {problem.strerror}"
        key = (stat.st_mtime_ns, stat.st_size, stat.st_ino, document.digest)
        if self._known is None or self._known[0] != key:
            self._known = key, await asyncio.to_thread(_fault, cohort, document)
        return self._known[1]


def findings(cohort: CohortSettings, document: Document) -> Findings:
    """Read a cohort and compare it with an agreement's contract.

    Raises:
        Refused: the cohort cannot be read.
    """
    from site_agent.data import contract, table

    records = table.read(cohort, document.agreement, opt_outs=frozenset())
    return contract.check(records, document.agreement, cohort)


def _fault(cohort: CohortSettings, document: Document) -> str:
    try:
        found = findings(cohort, document)
    except ConciliumError as problem:
        return problem.what
    return "" if found.met else f"{', '.join(found.broken)}"
