"""Ten seconds of theatre: one entry of a copy is altered, and `verify` names it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from coordinator.rehearsal.stage import run

if TYPE_CHECKING:
    from coordinator.rehearsal.cast import Cast


def alter_and_verify(roles: Cast, ledger_program: str) -> str:
    """Alter the middle contribution of a copy of the ledger; return what `verify` says."""
    original = roles.coordinator / "state" / "coordinator.db"
    with TemporaryDirectory(dir=roles.out) as folder:
        copy = Path(folder) / "altered.db"
        with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(copy)) as c:
            source.backup(c)
        seq = _alter(copy)
        url = f"sqlite:///{copy.resolve()}"
        said = json.loads(
            run([ledger_program, "verify", "--url", url, "--format", "json"], exits=(0, 1))
        )
    fault = said.get("fault")
    if not fault:
        return f"entry {seq} was altered, and nothing was found"
    return f"«entry {fault['seq']}: {fault['sentence']}»"


def _alter(copy: Path) -> int:
    """Change one figure in one contribution, as somebody with the database could."""
    with closing(sqlite3.connect(copy)) as database, database:
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        rows = database.execute(
            "SELECT seq, envelope FROM entries WHERE kind = 'contribution-made' ORDER BY seq"
        ).fetchall()
        seq, envelope = rows[len(rows) // 2]
        altered = bytearray(envelope)
        middle = len(altered) // 2
        altered[middle] = ord("A") if altered[middle] != ord("A") else ord("B")
        database.execute("UPDATE entries SET envelope = ? WHERE seq = ?", (bytes(altered), seq))
    return int(seq)
