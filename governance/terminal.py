"""How the three programs speak: what happened, what it means, what to do.

One place for exit codes, answers in three formats, passphrases and Ctrl-C, so that an operator,
an administrator and an auditor meet the same manners.
"""

from __future__ import annotations

import csv
import enum
import errno
import json
import os
import re
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from typing_extensions import override

from governance import hints
from protos.errors import EXIT_USER, ConciliumError, Refused, exit_code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import typer
    from typer.core import TyperGroup

EXIT_INTERRUPTED = 130
_READER_GONE = 141
"""What a shell gives a program that SIGPIPE ended. The signal itself stays ignored: a peer that
closes a socket must not end an agent."""
_WIDTH = 100
_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Format(enum.StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Answer:
    """A table of an answer: rows hold text, whole numbers or None for unknown.

    `columns` are the stable, documented field names; `notes` are sentences below the table and
    `facts` are named values beside it (both appear in JSON). Columns in `unshown` have nothing
    to say here: JSON and CSV have them, a table leaves them out.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    title: str = ""
    notes: Sequence[str] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    unshown: frozenset[str] = frozenset()

    def shown(self) -> Answer:
        """Return what a table shows."""
        places = [n for n, column in enumerate(self.columns) if column not in self.unshown]
        rows = [tuple(row[place] for place in places) for row in self.rows]
        columns = tuple(self.columns[place] for place in places)
        return replace(self, columns=columns, rows=rows, unshown=frozenset())

    def named(self) -> list[dict[str, object]]:
        """Return each row by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def say(answer: Answer, form: Format) -> None:
    """Print an answer on standard output in the format asked for."""
    if form is Format.JSON:
        body = {**answer.facts, "rows": answer.named(), "notes": list(answer.notes)}
        sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False, default=str) + "\n")
    elif form is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        _say_table(answer.shown())


def room() -> int:
    """Return how many signs a line of a table may have: the terminal's, else 100."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else _WIDTH


def _say_table(answer: Answer) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=room(), soft_wrap=False)
    if answer.columns and answer.rows:
        table = Table(
            title=Text(answer.title) if answer.title else None,
            title_justify="left",
            box=None,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for column, width in zip(answer.columns, _widths(answer, console.width), strict=True):
            table.add_column(column.replace("_", " "), overflow="fold", width=width)
        for row in answer.rows:
            table.add_row(*("" if cell is None else str(cell) for cell in row))
        console.print(table, markup=False, highlight=False)
    elif answer.title:
        console.print(answer.title, markup=False, highlight=False)
    for note in map(hints.complete, answer.notes):
        indented = note.startswith("  ")  # a command: it is to be copied, so never broken
        console.print(note, markup=False, highlight=False, soft_wrap=indented)


def _widths(answer: Answer, room: int) -> list[int]:
    """Return the columns' widths: words whole where they fit, and no line wider than `room`."""
    wished, least = [], []
    for index, column in enumerate(answer.columns):
        cells = ["" if row[index] is None else str(row[index]) for row in answer.rows]
        lines = [line for cell in (column, *cells) for line in cell.splitlines() or [""]]
        words = [*column.split("_"), *(word for cell in cells for word in cell.split())]
        wished.append(max(len(line) for line in lines))
        least.append(max(len(word) for word in words))
    room -= len(wished) - 1
    while sum(least) > room:
        least[least.index(max(least))] -= 1
    while sum(least) < min(room, sum(wished)):
        short = max(range(len(least)), key=lambda index: wished[index] / least[index])
        least[short] += 1
    return least


def passphrase(purpose: str, *, file: Path | None, confirm: bool = False) -> bytes:
    """Read a passphrase from a file, or ask for it on a terminal; never from an argument.

    Raises:
        Refused: there is neither a file nor a terminal, or the passphrase is empty.
    """
    if file is not None:
        try:
            given = file.read_bytes().rstrip(b"\r\n")
        except OSError as problem:
            raise Refused(
                f"the passphrase file {file} cannot be read: {problem.strerror}",
                todo="Name a file that you may read with --passphrase-file.",
                rule="passphrase-unreadable",
            ) from None
    elif sys.stdin.isatty():
        given = _asked(purpose, confirm=confirm)
    else:
        raise Refused(
            f"a passphrase is needed {purpose}, and there is no terminal to ask on",
            todo="Name a file that holds it with --passphrase-file.",
            rule="no-terminal",
        )
    if not given:
        raise Refused(f"the passphrase {purpose} is empty", rule="passphrase-empty")
    return given


def _asked(purpose: str, *, confirm: bool) -> bytes:
    from getpass import getpass

    first = getpass(f"Passphrase {purpose}: ")
    if confirm and getpass("Once more: ") != first:
        raise Refused("the two passphrases differ", rule="passphrases-differ")
    return first.encode()


def reason(given: str | None) -> str | None:
    """Return a reason that says something; for the callback of an option that takes one.

    Raises:
        Refused: it is blank.
    """
    if given is not None and not given.strip():
        raise Refused(
            "the reason is blank",
            todo='Say why in a few words: --reason "ethics board meets"',
            rule="blank-reason",
        )
    return given


def in_order(*verbs: str) -> type[TyperGroup]:
    """Return a group whose help lists these verbs first, as they are used one by one."""
    from typer.core import TyperGroup

    rank = {verb: index for index, verb in enumerate(verbs)}

    class InOrder(TyperGroup):
        @override
        def list_commands(self, ctx: object) -> list[str]:
            return sorted(self.commands, key=lambda verb: rank.get(verb, len(rank)))

    return InOrder


def run(app: typer.Typer) -> None:
    """Run a program to its exit code; errors become one sentence, never a traceback."""
    import typer

    # typer carries a click of its own and names few of its errors
    hints.note(app, sys.argv)
    usage = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
    try:
        outcome = app(standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        outcome = EXIT_INTERRUPTED  # typer itself ends with this code, without a word
    except ConciliumError as problem:
        complain(_with_next(problem), code=problem.rule)
        sys.exit(exit_code(problem))
    except OSError as problem:
        sys.exit(_ended_by(problem))
    except Exception as problem:
        if not isinstance(problem, usage):
            raise
        if type(problem).__name__ == "NoArgsIsHelpError":
            tell(str(getattr(problem, "format_message", problem.__str__)()))
        else:
            from governance.usage import sentence

            complain(sentence(problem), code="usage")
        sys.exit(EXIT_USER)
    if outcome == EXIT_INTERRUPTED:
        said = "interrupted; nothing is lost, give the same command again"
        complain(said, code="interrupted")
    sys.exit(outcome if isinstance(outcome, int) else 0)


def _with_next(problem: ConciliumError) -> str:
    """Return what an error says, with the remedy of `docs/errors.md` where it names none."""
    said = str(problem)
    return said if "\n" in said else _remedied(said, problem.rule)


def _remedied(said: str, code: str) -> str:
    from governance import error_pages

    remedy = error_pages.remedy(code)
    return f"{said}\n{remedy}" if remedy else said


def _ended_by(problem: OSError) -> int:
    if isinstance(problem, BrokenPipeError):  # whoever read the answer has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _READER_GONE
    full = problem.errno in _DISK_FULL
    complain(_of_the_system(problem), code="disk-full" if full else "system")
    return EXIT_USER


def _of_the_system(problem: OSError) -> str:
    place = f"{problem.filename}: " if problem.filename else ""
    if problem.errno in _DISK_FULL:
        return (
            f"{place}the disk is full, or a file may grow no larger\n"
            "Make room and give the same command again; it goes on from here."
        )
    said = f"{place}{os.strerror(problem.errno) if problem.errno else problem}"
    return _remedied(said, "system")


def complain(sentence: str, *, code: str) -> None:
    """Write an error on standard error: its sentence and code, then what to do.

    The code ends the first line; `docs/errors.md` explains it. A peer's that is no code of the
    usual form is left out.
    """
    first, new_line, rest = hints.complete(sentence).partition("\n")
    said = f" [{code}]" if _CODE.fullmatch(code) else ""
    sys.stderr.write(f"error: {first}{said}{new_line}{rest}\n")


def interrupted(sentence: str, *, todo: str) -> NoReturn:
    """End after a Ctrl-C of which there is more to say than that nothing is lost."""
    complain(f"{sentence}\n{todo}", code="interrupted")
    sys.exit(EXIT_INTERRUPTED)


def tell(sentence: str) -> None:
    """Write progress on standard error."""
    sys.stderr.write(f"{hints.complete(sentence)}\n")
    sys.stderr.flush()


def confirmed(question: str, *, yes: bool, ask: Callable[[str], str] = input) -> bool:
    """Ask before what cannot be taken back; without a terminal only `--yes` answers."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Refused(
            f"{question} needs an answer, and there is no terminal to ask on",
            todo="Say --yes if that is what you want.",
            rule="no-terminal",
        )
    return ask(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
