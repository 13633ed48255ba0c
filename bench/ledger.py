"""How fast the ledger appends, proves and verifies, beside what it cannot be faster than.

    python bench/ledger.py [--rounds 60] [--out build/bench.json]

A federation of five hospitals that signs for real speaks for so many rounds. Each figure stands
beside a reference of the same run on the same bytes: rows that SQLite inserts, SHA-256 over the
leaves, Ed25519 signatures that are only verified. Their ratio says what the ledger costs on any
machine. The figures are appended to a JSON list of {bench, case, figure, unit, value,
reference, ratio}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from logs.federation import Federation, found

from governance import dsse, statements
from governance.ledger import source, store
from governance.ledger.entry import leaf_data
from governance.ledger.signatures import Signatures
from governance.ledger.verify import verify
from governance.terminal import Answer, Format, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from governance.statements import Statement

BENCH = "ledger"
REPEATS = 3
SINGLES = 100
PROOFS = 200


def main() -> int:
    given = asked()
    with tempfile.TemporaryDirectory(dir=given.out.parent) as folder:
        figures = measured(Path(folder), given.rounds)
    keep(given.out, figures)
    columns = ("case", "figure", "unit", "value", "reference", "ratio")
    rows = [tuple(figure[name] for name in columns) for figure in figures]
    say(Answer(columns, rows, title="The ledger on SQLite"), Format.TABLE)
    return 0


def asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    return given


def measured(folder: Path, number: int) -> list[dict[str, Any]]:
    """Return every figure, over a log of so many rounds."""
    case = f"{number} rounds"
    figures = [batched(folder, number, case), singly(folder, case)]
    with closing(sqlite3.connect(folder / "batched.db")) as raw:
        records = raw.execute("SELECT seq, received_at, envelope FROM entries").fetchall()
    engine = source.open_database(str(folder / "batched.db"))
    with engine.connect() as c:
        log = source.Database(c)
        figures += [unsigned(log, records, case), signed(log, records, case)]
        figures.append(proofs(c, folder / "batched.db", len(records), case))
    engine.dispose()
    return figures


# --- appending ----------------------------------------------------------------------------


def batched(folder: Path, number: int, case: str) -> dict[str, Any]:
    """Append a whole history in one transaction; beside it, rows that are only inserted."""
    federation = Federation()
    said = list(federation.founded())
    for each in range(1, number + 1):
        said += [(statement, ()) for statement in federation.round(each)]
    engine = store.open_engine(f"sqlite:///{folder / 'batched.db'}")
    store.create(engine)

    def ours() -> None:
        with engine.begin() as c:
            for statement, told in said:
                store.append(c, statement, received_at=statement.at, disclosures=told)
            log = federation.log
            store.sign_checkpoint(c, federation.key("ledger"), log.origin)

    envelopes = [statement.envelope for statement, _ in said]
    seconds = timed(ours)
    engine.dispose()
    reference = fastest(lambda: inserted(folder / "raw.db", envelopes, together=True))
    return rate("appended in one transaction", "entries/s", len(said), seconds, reference, case)


def singly(folder: Path, case: str) -> dict[str, Any]:
    """Append one entry a transaction, each on the disk before the next."""
    federation = Federation("single")
    engine = store.open_engine(f"sqlite:///{folder / 'single.db'}")
    store.create(engine)
    with engine.begin() as c:
        found(c, federation)
    said = [federation.start() for _ in range(SINGLES)]

    def ours() -> None:
        for statement in said:
            with engine.begin() as c:
                store.append(c, statement, received_at=statement.at)

    seconds = timed(ours)
    engine.dispose()
    envelopes = [statement.envelope for statement in said]
    reference = fastest(lambda: inserted(folder / "raw.db", envelopes, together=False))
    return rate("appended one by one, durably", "entries/s", SINGLES, seconds, reference, case)


def inserted(path: Path, envelopes: Sequence[bytes], *, together: bool) -> None:
    """Insert rows with SQLite alone, as durably as the ledger does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("DROP TABLE IF EXISTS rows")
        raw.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, envelope BLOB)")
        if together:
            raw.execute("BEGIN")
        for row in enumerate(envelopes):
            raw.execute("INSERT INTO rows VALUES (?, ?)", row)
        if together:
            raw.execute("COMMIT")


# --- verifying ----------------------------------------------------------------------------


def unsigned(log: source.Database, records: Sequence[Any], case: str) -> dict[str, Any]:
    """Verify all but signatures; beside it, SHA-256 over the same leaves."""
    leaves = [leaf_data(*row) for row in records]
    seconds = fastest(lambda: clean(log, Signatures.NONE))
    reference = fastest(lambda: [hashlib.sha256(leaf).digest() for leaf in leaves])
    return rate(
        "verified without signatures", "entries/s", len(records), seconds, reference, case
    )


def signed(log: source.Database, records: Sequence[Any], case: str) -> dict[str, Any]:
    """Verify everything; beside it, every Ed25519 signature verified and nothing else."""
    seconds = fastest(lambda: clean(log, Signatures.ALL))
    given = [one for *_, envelope in records for one in signatures(statements.read(envelope))]

    def raw() -> None:
        for key, signature, message in given:
            key.verify(signature, message)

    return rate(
        "verified with signatures", "entries/s", len(records), seconds, fastest(raw), case
    )


def signatures(statement: Statement) -> list[tuple[Ed25519PublicKey, bytes, bytes]]:
    message = dsse.pae(statements.PAYLOAD_TYPE, statement.payload)
    return [
        (Ed25519PublicKey.from_public_bytes(bytes.fromhex(key[8:])), signature, message)
        for key, signature in statement.signatures.items()
        if key.startswith("ed25519:")
    ]


def clean(log: source.Database, which: Signatures) -> None:
    verdict = verify(log, signatures=which)
    if not verdict.verified:
        sys.exit(verdict.sentence)


def proofs(c: Connection, path: Path, size: int, case: str) -> dict[str, Any]:
    """Prove entries; beside it, one row that SQLite finds by its key."""
    places = [number * size // PROOFS for number in range(PROOFS)]
    seconds = fastest(lambda: [store.inclusion(c, place, size) for place in places])
    question = "SELECT hash FROM nodes WHERE level = 0 AND idx = ?"
    with closing(sqlite3.connect(path)) as raw:
        reference = fastest(
            lambda: [raw.execute(question, (place,)).fetchone() for place in places]
        )
    return rate("inclusion proofs", "proofs/s", PROOFS, seconds, reference, case)


# --- figures ------------------------------------------------------------------------------


def timed(doing: Callable[[], object]) -> float:
    begun = time.perf_counter()
    doing()
    return time.perf_counter() - begun


def fastest(doing: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some tries: other work on the machine only adds."""
    return min(timed(doing) for _ in range(REPEATS))


def rate(
    figure: str, unit: str, count: int, seconds: float, reference_s: float, case: str
) -> dict[str, Any]:
    value, reference = count / seconds, count / reference_s
    return {
        "bench": BENCH,
        "case": case,
        "figure": figure,
        "unit": unit,
        "value": round(value, 1),
        "reference": round(reference, 1),
        "ratio": round(value / reference, 5),
    }


def keep(path: Path, figures: Sequence[dict[str, Any]]) -> None:
    """Append figures to the list in a file."""
    known = json.loads(path.read_text("utf-8")) if path.exists() else []
    path.write_text(json.dumps([*known, *figures], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
