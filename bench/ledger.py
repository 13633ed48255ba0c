"""How fast the ledger appends, proves, answers and verifies, beside what bounds it.

    python bench/ledger.py [--rounds 60] [--engine sqlite] [--out build/bench.json]
    python bench/ledger.py --rounds 55000 --only asked

A federation of five hospitals that signs for real speaks for so many rounds, 18 entries each.
Each figure stands beside a reference of the same run on the same bytes: rows that the engine's
own driver inserts or finds, SHA-256 over the leaves, Ed25519 signatures that are only verified.
Their ratio says what the ledger costs on any machine. The figures are appended to a JSON list
of {bench, case, figure, unit, value, reference, ratio}.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from logs import engines
from logs.federation import Federation, found
from logs.figures import fastest, lasting, options, parsed, rate, tell, timed

from governance import dsse, statements
from governance.ledger import (
    query_agreed,
    query_covered,
    query_heads,
    query_rounds,
    query_settings,
    showing,
    source,
    store,
)
from governance.ledger.entry import leaf_data
from governance.ledger.signatures import Signatures
from governance.ledger.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from logs.engines import Postgresql, Sqlite
    from sqlalchemy import Connection

    from governance.statements import Statement

BENCH = "ledger"
SINGLES = 100
PROOFS = 200
NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
ALL: Final = ("appended", "verified", "asked")


def main() -> int:
    given = asked()
    figures: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(dir=given.out.parent) as folder,
        engines.opened(given.engine, Path(folder)) as chosen,
    ):
        for engine in chosen:
            figures += measured(engine, given.rounds, given.only)
    tell("The ledger", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--engine", nargs="+", choices=engines.ENGINES, default=engines.ENGINES)
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL)
    return parsed(parser)


def measured(
    engine: Sqlite | Postgresql, number: int, only: Sequence[str]
) -> list[dict[str, Any]]:
    """Return every figure, over a log of so many rounds."""
    case = f"{engine.name}, {number} rounds"
    appended = batched(engine, number, case)
    figures = [appended, singly(engine, case)] if "appended" in only else []
    opened = source.open_database(engine.url("batched"))
    with opened.connect() as c:
        log = source.Database(c)
        if "verified" in only:
            records = [(one.seq, one.received_at, one.envelope) for one in log.entries()]
            figures += [unsigned(log, records, case), signed(log, records, case)]
        if "asked" in only:
            figures += answers(engine, c, number, case)
    opened.dispose()
    return figures


# --- appending ----------------------------------------------------------------------------


def batched(engine: Sqlite | Postgresql, number: int, case: str) -> dict[str, Any]:
    """Append a whole history in one transaction; beside it, rows that are only inserted."""
    federation, kept = Federation(), []
    ledger = store.open_engine(engine.url("batched"))
    store.create(ledger)
    seconds = 0.0
    with ledger.begin() as c:
        for said in spoken(federation, number):
            seconds += timed(partial(appended, c, said))
            kept += [statement.envelope for statement, _ in said]
        store.sign_checkpoint(c, federation.key("ledger"), federation.log.origin)
    ledger.dispose()
    reference = fastest(lambda: engines.insert(engine, kept, together=True))
    return rate(
        BENCH, case, "appended in one transaction", "entries/s", len(kept), (seconds, reference)
    )


def spoken(federation: Federation, number: int) -> Iterator[list[tuple[Statement, Any]]]:
    """Yield what is said on the first day, and then in each round."""
    yield list(federation.founded())
    for each in range(1, number + 1):
        yield [(statement, ()) for statement in federation.round(each)]


def appended(c: Connection, said: Sequence[tuple[Statement, Any]]) -> None:
    for statement, told in said:
        store.append(c, statement, received_at=statement.at, disclosures=told)


def singly(engine: Sqlite | Postgresql, case: str) -> dict[str, Any]:
    """Append one entry a transaction, each on the disk before the next."""
    federation = Federation("single")
    ledger = store.open_engine(engine.url("single"))
    store.create(ledger)
    with ledger.begin() as c:
        found(c, federation)
    said = [federation.start() for _ in range(SINGLES)]

    def ours() -> None:
        for statement in said:
            with ledger.begin() as c:
                store.append(c, statement, received_at=statement.at)

    seconds = timed(ours)
    ledger.dispose()
    envelopes = [statement.envelope for statement in said]
    reference = fastest(lambda: engines.insert(engine, envelopes, together=False))
    return rate(
        BENCH, case, "appended one by one, durably", "entries/s", SINGLES, (seconds, reference)
    )


# --- verifying ----------------------------------------------------------------------------


def unsigned(log: source.Database, records: Sequence[Any], case: str) -> dict[str, Any]:
    """Verify all but signatures; beside it, SHA-256 over the same leaves."""
    leaves = [leaf_data(*row) for row in records]
    seconds = fastest(lambda: clean(log, Signatures.NONE))
    reference = fastest(lambda: [hashlib.sha256(leaf).digest() for leaf in leaves])
    figure = "verified without signatures"
    return rate(BENCH, case, figure, "entries/s", len(records), (seconds, reference))


def signed(log: source.Database, records: Sequence[Any], case: str) -> dict[str, Any]:
    """Verify everything; beside it, every Ed25519 signature verified and nothing else."""
    seconds = fastest(lambda: clean(log, Signatures.ALL))
    given = [one for *_, envelope in records for one in signatures(statements.read(envelope))]

    def raw() -> None:
        for key, signature, message in given:
            key.verify(signature, message)

    figure = "verified with signatures"
    return rate(BENCH, case, figure, "entries/s", len(records), (seconds, fastest(raw)))


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


# --- asking -------------------------------------------------------------------------------


def answers(
    engine: Sqlite | Postgresql, c: Connection, number: int, case: str
) -> list[dict[str, Any]]:
    """Prove entries and answer questions; beside each, one entry that the driver finds."""
    size = store.size_of(c)
    case = f"{case}, {size} entries"
    places = [each * size // PROOFS for each in range(PROOFS)]
    question = f"SELECT envelope FROM entries WHERE seq = {engine.holder}"
    with engine.raw("batched") as raw:
        reference = fastest(
            lambda: [raw.execute(question, (each,)).fetchone() for each in places]
        )
    proving = fastest(lambda: [store.inclusion(c, each, size) for each in places])
    figures = [lasting(BENCH, case, "an inclusion proof", PROOFS, (proving, reference))]
    return figures + [
        lasting(BENCH, case, name, 1, (fastest(ask), reference / PROOFS))
        for name, ask in questions(c, number).items()
    ]


def questions(c: Connection, number: int) -> Mapping[str, Callable[[], object]]:
    """Return what an auditor asks of the middle of a log, each by the command that asks it."""
    middle = max(1, number // 2)
    return {
        f"round {middle}": lambda: query_rounds.one_round(c, middle),
        f"round {middle} --settings": lambda: query_settings.settings_of(c, middle),
        f"contributions --round {middle}": lambda: query_covered.contributions_covered(
            c, round_=middle
        ),
        "agreements": lambda: query_agreed.agreements_at(c, now=NOW),
        "consents --history": lambda: query_agreed.consent_history(c),
        "checkpoint": lambda: query_heads.heads(c),
        "witness": lambda: query_heads.witnessing(c),
        "show SEQ --proof": lambda: showing.show(c, middle, proof=True),
    }


if __name__ == "__main__":
    sys.exit(main())
