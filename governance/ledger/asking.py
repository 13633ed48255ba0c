"""What the auditor's program opens, reads and says; the questions themselves know no files."""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from governance import terminal
from governance.ledger import paging, rebuild, watching
from governance.ledger.opening import hides_values, in_one_sentence
from governance.ledger.source import Database, Export, open_database, split_witnesses
from governance.terminal import Answer, Format
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.export import Exported
    from governance.ledger.release_folder import Verdict as ReleaseVerdict
    from governance.ledger.signatures import Signatures
    from governance.ledger.source import HeldCheckpoint, Source
    from governance.ledger.verify import Verdict

_DIGEST: Final = re.compile(r"\b(ed25519:|x509:)?([0-9a-f]{8})[0-9a-f]{56}\b")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{6}Z")


@contextmanager
def source(url: str | None, export: Path | None) -> Iterator[Source]:
    """Open what is to be read: one of a database and an export.

    Raises:
        Refused: neither or both are named, or it is not there.
    """
    if export is not None and url is None:
        yield Export(export)
        return
    if url is None or export is not None:
        raise Refused(
            "name either a database with --url or an export's folder with --export, or else "
            "a coordinator with --server",
            todo="For example: concilium-ledger verify --export handover",
            rule="no-ledger",
        )
    engine = open_database(url)
    try:
        with in_one_sentence(url), engine.connect() as connection:
            yield Database(connection, hides_values=hides_values(connection))
    finally:
        engine.dispose()


@contextmanager
def ledger(url: str | None, export: Path | None) -> Iterator[Connection]:
    """Give a ledger to ask: the database, or an export taken into one in memory."""
    with source(url, export) as held:
        if isinstance(held, Database):
            yield held.connection
            return
        with in_one_sentence(str(export)), rebuild.empty() as connection:
            rebuild.load(connection, held)
            yield connection


def verified(
    url: str | None,
    export: Path | None,
    *,
    trust: Path | None,
    against: Path | None,
    signatures: Signatures,
    incremental: bool = False,
) -> Verdict:
    """Verify a log by what an auditor has in files, with a bar on a terminal.

    Raises:
        Refused: a file is not there or not what it should be.
    """
    from governance.identity.trust import parse_trust
    from governance.ledger import ahead as checking
    from governance.ledger import apart as making
    from governance.ledger.signatures import Signatures
    from governance.ledger.verify import verify

    trusted = None if trust is None else parse_trust(_text(trust), where=str(trust))
    pinned = None if against is None else _note(against)
    all_ = signatures is Signatures.ALL
    with (
        source(url, export) as held,
        watching.bar(held) as watch,
        making.beginning(held, url, export) if all_ else nullcontext() as apart,
        nullcontext() if signatures is Signatures.NONE else checking.beginning(held) as ahead,
    ):
        verdict = verify(
            held,
            trusted=trusted,
            against=pinned,
            signatures=signatures,
            incremental=incremental,
            watch=watch,
            apart=apart,
            ahead=ahead,
        )
        if isinstance(held, Database) and held.hides_values:
            verdict = replace(verdict, values_unread=True)
    fault = verdict.fault
    if fault is None or fault.rule != "untrusted-key":
        return verdict
    said = f"{fault.sentence}. The trusted keys are those in {trust}: ask the hospital itself"
    said += " for what `concilium-site key` prints, and compare"
    return replace(verdict, fault=replace(fault, sentence=said))


def release_verified(folder: Path, trust: Path | None) -> tuple[ReleaseVerdict, Answer]:
    """Check a release's folder; say what it is, or what is wrong with it.

    Raises:
        Refused: it is no such folder, or the file of keys is none.
    """
    from governance.identity.trust import parse_trust
    from governance.ledger import release_folder

    trusted = None if trust is None else parse_trust(_text(trust), where=str(trust))
    verdict = release_folder.verify(folder, trusted=trusted)
    return verdict, release_folder.answer(verdict)


def rebuilt(url: str | None) -> Answer:
    """Make a database's projections anew; say what was not as it follows from the entries.

    Raises:
        Refused: there is no such ledger, or its entries break a rule; nothing is changed then.
    """
    from governance.ledger import interlopers, projections, schema, store, triggers
    from governance.ledger.source import rows_of, writable_url

    with source(url, None):
        pass
    engine = store.open_engine(writable_url(url or ""))
    try:
        store.create(engine, where=url or "")
        with in_one_sentence(url or ""), engine.begin() as c:
            before = {table.name: rows_of(c, table) for table in schema.PROJECTIONS}
            projections.rebuild(c)
            guarded, taken = triggers.restore(c), interlopers.remove(c)
            rows = []
            for table in schema.PROJECTIONS:
                made = rows_of(c, table)
                wrong = [row for row in before[table.name] if row not in made]
                missing = [row for row in made if row not in before[table.name]]
                rows.append((table.name, len(made), len(wrong), len(missing)))
    finally:
        engine.dispose()
    columns = ("table", "rows", "rows_taken_away", "rows_added")
    return Answer(
        columns,
        rows,
        title="Tables made anew from the entries",
        notes=[
            f"{said}: {', '.join(names)}."
            for said, names in (("Triggers made anew", guarded), ("Taken away", taken))
            if names
        ],
    )


def exported(folder: Path, made: Exported) -> Answer:
    """Say what an export holds."""
    facts = {
        "folder": str(folder),
        "since": made.since,
        "size": made.size,
        "disclosures": made.disclosures,
        "checkpoints": made.checkpoints,
    }
    return Answer(
        tuple(facts),
        [tuple(facts.values())],
        title="Exported",
        notes=[f"Verify it with: concilium-ledger verify --export {folder}"],
        facts=facts,
    )


def say(
    answer: Answer,
    form: Format,
    *,
    hidden: frozenset[str] = frozenset(),
    short: bool = True,
) -> None:
    """Print an answer; a table for eyes hides some columns and shortens digests and times.

    What others wrote is shown without control characters: it cannot steer a terminal.
    """
    if form is Format.TABLE:
        shown = [i for i, name in enumerate(answer.columns) if name not in hidden]
        columns = tuple(answer.columns[i].removesuffix("_seq") for i in shown)
        rows = [tuple(_for_eyes(row[i], short=short) for i in shown) for row in answer.rows]
        answer = replace(answer, columns=columns, rows=rows)
    terminal.say(answer, form)
    if form is Format.CSV:  # which has no place for what a table says below it
        for note in paging.unshown(answer.facts):
            terminal.tell(note)


def _for_eyes(cell: object, *, short: bool) -> object:
    if not isinstance(cell, str):
        return cell
    if short:
        cell = _TIME.sub(r"\1 \2", _DIGEST.sub(r"\1\2", cell))
    return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in cell)


def _note(path: Path) -> HeldCheckpoint:
    try:
        return split_witnesses(_text(path))
    except PeerFault as problem:
        raise Refused(problem.what, where=str(path), rule=problem.rule) from None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise Refused("this is no text", where=str(path), rule="bad-file") from None
