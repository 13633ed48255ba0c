"""What is shown of a federation at work: live on a terminal, plain lines elsewhere.

The operator's `watch` and a rehearsal show the same board, on standard error.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from governance.agreement.load import parse
from governance.counts import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protos.words_operator import SiteStatus, StatusReport

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_BAR: Final = 30
_COLUMNS: Final = ("hospital", "connected", "consent", "doing", "progress", "waiting for")
_DOING: Final = {
    "idle": "idle",
    "train: sent": "asked to train",
    "train: accepted": "trains",
    "train: in": "sent its update",
    "evaluate: sent": "asked to evaluate",
    "evaluate: accepted": "evaluates",
    "evaluate: in": "sent its figures",
}


class Board:
    """Rounds, sites, who trains and how far, uploads, quality, alarms, and why it waits.

    Args:
        brief: Where it is no terminal, say only which rounds are closed.
        planned: How many rounds there will be, as far as is known before any is.
    """

    def __init__(self, *, brief: bool = False, planned: int = 0) -> None:
        self.console = Console(stderr=True)
        self._live = Live(console=self.console, refresh_per_second=8, transient=True)
        self._brief = brief
        self._said: tuple[str, ...] = ()
        self._last: StatusReport | None = None
        self._closed, self._planned = 0, planned

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal and self._last is not None and not self._brief:
            self._live.transient = False
        self._live.stop()

    def say(self, sentence: str) -> None:
        """Say a sentence above the board."""
        self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    def show(self, report: StatusReport) -> None:
        """Show where the federation stands."""
        if self.console.is_terminal:
            self._live.update(_picture(report))
        elif self._brief:
            self._say_closed(report)
        else:
            self._say_news(tuple(_lines(report)))
        self._last = report

    def lost(self, sentence: str) -> None:
        """Say that nothing is heard; what was shown last stays."""
        if not self.console.is_terminal:
            self._say_news((sentence,))
        elif self._last is not None:
            self._live.update(Group(_picture(self._last), Text(sentence, style="red")))

    def _say_closed(self, report: StatusReport) -> None:
        self._planned = report.rounds_planned or self._planned
        if report.rounds_committed != self._closed:
            self._closed = report.rounds_committed
            self.say(
                f"  round {self._closed} of {self._planned} is closed; "
                f"the ledger has {report.ledger_size} entries"
            )

    def _say_news(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            if line not in self._said:
                self.say(line)
        self._said = lines


def _lines(report: StatusReport) -> Iterator[str]:
    """Yield what there is to say, a line each; a line that was said before is not news."""
    if report.rounds_planned:
        yield f"{report.rounds_committed} of {count(report.rounds_planned, 'round')} closed"
    yield report.state
    for site in report.sites:
        here = "" if site.connected else ", not connected"
        waits = f"; waits for {site.waiting_for}" if site.waiting_for else ""
        yield f"  {site.name}: {site.consent}{here}, {_doing(site)}{waits}"
    for alarm in report.alarms:
        yield f"ALARM: {alarm}"
    yield from _pending(report)


def _pending(report: StatusReport) -> Iterator[str]:
    for act in report.pending:
        yield f"{act.act} by {act.by} waits for a second operator: approve {act.digest[:12]}"


def _picture(report: StatusReport) -> Group:
    head = Text(f"{report.federation}: {report.state}", style="bold")
    parts: list[Text | Table] = [head]
    if report.rounds_planned:
        done = min(1.0, report.rounds_committed / report.rounds_planned)
        bar = "█" * round(_BAR * done)
        rounds = f"{report.rounds_committed}/{count(report.rounds_planned, 'round')}"
        parts.append(Text(f"{bar:·<{_BAR}} {rounds}{_quality(report)}"))
    parts.append(_table(report))
    parts += [Text(f"ALARM: {alarm}", style="bold red") for alarm in report.alarms]
    parts += [Text(line, style="yellow") for line in _pending(report)]
    return Group(*parts)


def _table(report: StatusReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in _COLUMNS:
        table.add_column(column)
    planned = _steps(report.document) if report.document else 0
    for site in report.sites:
        cells = (
            site.name,
            "yes" if site.connected else "no",
            site.consent,
            _doing(site),
            _progress(site, planned),
            site.waiting_for,
        )
        table.add_row(*(Text(cell) for cell in cells))  # no markup: some words are a site's
    return table


def _doing(site: SiteStatus) -> str:
    if site.bytes_all:
        return "sends its update"
    return _DOING.get(site.doing, site.doing)


def _progress(site: SiteStatus, planned: int) -> str:
    if site.bytes_all:
        return f"{site.bytes_in / site.bytes_all:.0%} of {decimal(site.bytes_all)}"
    if site.doing == "train: accepted" and planned:
        return f"{min(site.steps_done, planned)}/{count(planned, 'step')}"
    return count(site.steps_done, "step") if site.steps_done else ""


@lru_cache(maxsize=4)
def _steps(document: bytes) -> int:
    return parse(document).agreement.round.local.steps or 0


def _quality(report: StatusReport) -> str:
    """Return the last models' quality as a small plot, and the last one as a figure."""
    if not report.quality or not report.metric:
        return ""
    low, high = min(report.quality), max(report.quality)
    span = (high - low) or 1.0
    plot = "".join(
        _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1))] for value in report.quality
    )
    return f"   {report.metric} {plot} {report.quality[-1]:.3f}"
