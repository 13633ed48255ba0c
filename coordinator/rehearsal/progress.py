"""What a rehearsal shows while it runs: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from governance.agreement.load import Document
    from protos.words import StatusReport


class Progress:
    """Rounds, sites, who trains and how good the last model was; on standard error."""

    def __init__(self, document: Document) -> None:
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._shown = (0, "")
        self._planned = document.agreement.schedule.rounds

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def step(self, sentence: str) -> None:
        """Say which part begins."""
        self._console.print(sentence, highlight=False, markup=False)

    def show(self, report: StatusReport) -> None:
        """Show where the federation stands."""
        if self._console.is_terminal:
            self._live.update(self._table(report))
            return
        now = (report.rounds_committed, report.state)
        self._planned = report.rounds_planned or self._planned
        if now[0] != self._shown[0]:
            sys.stderr.write(
                f"  round {report.rounds_committed} of {self._planned} is closed; "
                f"the ledger has {report.ledger_size} entries\n"
            )
            sys.stderr.flush()
        self._shown = now

    def _table(self, report: StatusReport) -> Table:
        done, planned = report.rounds_committed, report.rounds_planned or 1
        bar = "█" * round(30 * done / planned)
        table = Table(
            title=f"{report.federation}: {report.state}   {bar:<30} {done}/{planned} rounds",
            title_justify="left",
            box=None,
        )
        for column in ("hospital", "connected", "consent", "doing", "steps"):
            table.add_column(column)
        for site in report.sites:
            table.add_row(
                site.name,
                "yes" if site.connected else "no",
                site.consent,
                site.doing,
                str(site.steps_done or ""),
            )
        return table
