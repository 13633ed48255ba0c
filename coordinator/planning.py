"""`plan` and `propose`: what an agreement means, and asking the sites for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator import dissenting
from governance import terminal
from governance.agreement.load import Document, load, parse
from governance.agreement.plan import plan
from governance.agreement.roster import fill_roster, require_keys
from governance.ledger.operators import statement_of
from governance.terminal import Answer, Format
from protos.errors import ConciliumError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from coordinator.console import Console
    from protos.words_operator import OperatorActed, StatusReport


def asked(folder: Path, identity: Path | None) -> StatusReport | None:
    """Ask the running coordinator where things stand; None when none can be asked."""
    if identity is None and not (folder / "operators").is_dir():
        return None
    from coordinator.console import open_console

    try:
        with open_console(folder, identity) as console:
            return console.status()
    except ConciliumError as problem:
        terminal.tell(f"Not compared with the agreement in force: {problem.what}.")
        return None


def show(
    agreement: Path, *, against: Path | None, report: StatusReport | None, form: Format
) -> bool:
    """Print what an agreement means; say whether it differs from the one it is held against."""
    in_force = parse(report.document) if report is not None and report.document else None
    former = load(against) if against is not None else in_force
    held_against = "the agreement in force" if against is None else str(against)
    document = load(agreement)
    meaning = plan(document, in_force=former, against=held_against)
    dissents = report.dissents if report is not None else ()
    if form is Format.TABLE:
        notes = list(dissenting.lines(dissents, document))
        terminal.say(Answer((), (), title=meaning.text(), notes=notes), form)
        return bool(meaning.changes)
    rows = [(c.path, c.old, c.new, c.klass) for c in meaning.changes]
    facts = {
        "epsilon": meaning.epsilon,
        "epsilon_per_round": meaning.epsilon_per_round,
        "spare_rounds": meaning.spare_rounds,
        "unsafe": sorted(meaning.unsafe),
        "warnings": list(meaning.warnings),
        "dissents": dissenting.facts(dissents),
        "text": meaning.text(),
    }
    terminal.say(Answer(("path", "old", "new", "class"), rows, facts=facts), form)
    return bool(meaning.changes)


def propose(
    console: Console, path: Path, *, fill: bool, now: datetime
) -> tuple[Document, OperatorActed]:
    """Propose an agreement to the sites of its roster."""
    status = console.status()
    if fill:
        sites = {row.name: row.keys for row in status.enrolled if row.role == "site"}
        operators = {r.name: r.keys[0] for r in status.enrolled if r.role == "operator"}
        _rewrite(path, fill_roster(path, sites, operators))
    document = load(path)
    require_keys(document)
    former = parse(status.document) if status.document else None
    meaning = plan(document, in_force=former)
    body = {
        "agreement": document.digest,
        "material": document.material,
        "changes": {change.path: change.klass.word for change in meaning.changes},
        **statement_of(document.agreement),
    }
    acted = console.signed("agreement-proposed", body, {}, now=now, document=document.raw)
    return document, acted


def _rewrite(path: Path, text: str) -> None:
    """Put a text in a file's place once all of it is written: a full disk loses nothing."""
    path = path.resolve()
    half = path.with_name(f"{path.name}.part")
    try:
        half.write_text(text, encoding="utf-8")
        load(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
