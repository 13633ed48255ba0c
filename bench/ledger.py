"""How fast the ledger appends, proves, answers and verifies, beside what bounds it.

    python bench/ledger.py [--rounds 300] [--engine sqlite] [--out build/bench.json]
    python bench/ledger.py --engine sqlite --rounds 55600 --log build/million.db --only asked

A federation of five hospitals that signs for real speaks for so many rounds, 18 entries each.
The second line grows a log of a million entries, about ten minutes, keeps it, and asks it.
Each figure stands beside a reference of the same run on the same bytes: rows that the engine's
own driver inserts or finds, SHA-256 over the leaves, Ed25519 signatures that are only verified.
Their ratio says what the ledger costs on any machine. The figures are appended to a JSON list
of {bench, case, figure, unit, value, reference, ratio}.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from logs import engines
from logs.federation import Federation, digest, found
from logs.figures import fastest, lasting, options, parsed, rate, tell, timed
from sqlalchemy import func, select

from governance import dsse, statements
from governance.ledger import (
    ahead,
    apart,
    queries,
    query_acts,
    query_agreed,
    query_covered,
    query_heads,
    query_lineage,
    query_members,
    query_privacy,
    query_retention,
    query_rounds,
    query_settings,
    searching,
    showing,
    source,
    store,
)
from governance.ledger.entry import leaf_data
from governance.ledger.paging import ROWS, Page
from governance.ledger.schema import rounds
from governance.ledger.signatures import Signatures
from governance.ledger.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from logs.engines import Postgresql, Sqlite
    from sqlalchemy import Connection, Engine

    from governance.statements import Statement

BENCH = "ledger"
SINGLES = 100
PROOFS = 200
BATCH = 50
"""Rounds that are appended in one transaction."""
REFERENCE = 20_000
"""How many entries a reference is measured on, at most."""
NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
ALL: Final = ("appended", "verified", "asked")
FIRST: Final = Page(ROWS)


def main() -> int:
    given = asked()
    figures: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(dir=given.out.parent) as folder,
        engines.opened(given.engine, Path(folder), given.log) as chosen,
    ):
        for engine in chosen:
            figures += measured(engine, given.rounds, given.only)
    tell("The ledger", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--engine", nargs="+", choices=engines.ENGINES, default=engines.ENGINES)
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL)
    kept = "an SQLite file to grow the log in and keep; one that is there already is asked"
    parser.add_argument("--log", type=Path, help=kept)
    return parsed(parser)


def measured(
    engine: Sqlite | Postgresql, number: int, only: Sequence[str]
) -> list[dict[str, Any]]:
    """Return every figure, over a log of so many rounds."""
    ledger = store.open_engine(engine.url(engines.LOG))
    store.create(ledger)
    with store.reading(ledger) as c:
        is_there = store.size_of(c) > 0
        number = c.execute(select(func.max(rounds.c.round))).scalar() or number
    case = f"{engine.name}, {number} rounds"
    figures = [] if is_there else [batched(engine, ledger, number, case)]
    ledger.dispose()
    if "appended" in only:
        figures += [copied(engine, case), singly(engine, case)]
    opened = source.open_database(engine.url(engines.LOG))
    with opened.connect() as c:
        log = source.Database(c)
        if "verified" in only:
            figures += verified(engine, log, case)
        if "asked" in only:
            figures += answers(engine, c, number, case)
    opened.dispose()
    return figures


# --- appending ----------------------------------------------------------------------------


def batched(
    engine: Sqlite | Postgresql, ledger: Engine, number: int, case: str
) -> dict[str, Any]:
    """Append a whole history, many entries a transaction; beside it, rows only inserted."""
    federation, kept, count = Federation(), [], 0
    seconds = 0.0
    said = spoken(federation, number)
    while batch := list(islice(said, BATCH)):
        with ledger.begin() as c:
            seconds += timed(partial(appended, c, [one for each in batch for one in each]))
        told = [statement.envelope for each in batch for statement, _ in each]
        kept += told if len(kept) < REFERENCE else []
        count += len(told)
    with ledger.begin() as c:
        store.sign_checkpoint(c, federation.key("ledger"), federation.log.origin)
    reference = fastest(lambda: engines.insert(engine, kept, together=True))
    figure = "appended, many a transaction"
    return rate(
        BENCH, case, figure, "entries/s", count, (seconds, reference * count / len(kept))
    )


def copied(engine: Sqlite | Postgresql, case: str) -> dict[str, Any]:
    """Take a log into an empty copy, as each hospital does; beside it, rows only inserted."""
    opened = source.open_database(engine.url(engines.LOG))
    with opened.connect() as c:
        records = list(store.entries(c, 0, REFERENCE))
    opened.dispose()
    copy = store.open_engine(engine.url("copy"))
    store.create(copy)

    def ours() -> None:
        with copy.begin() as c:
            store.append_mirrored(c, records)

    seconds = timed(ours)
    copy.dispose()
    envelopes = [record.envelope for record in records]
    reference = fastest(lambda: engines.insert(engine, envelopes, together=True))
    return rate(
        BENCH, case, "taken into a copy", "entries/s", len(records), (seconds, reference)
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


def verified(
    engine: Sqlite | Postgresql, log: source.Database, case: str
) -> list[dict[str, Any]]:
    """Verify as `concilium-ledger verify` does; beside it, SHA-256 or Ed25519 alone.

    The references are of one core; what verification does on others is in its time.
    """
    case = f"{case}, {len(os.sched_getaffinity(0))} cores"
    size = log.size()
    some = [
        (each.seq, each.received_at, each.envelope) for each in islice(log.entries(), REFERENCE)
    ]
    leaves = [leaf_data(*row) for row in some]
    given = [one for *_, envelope in some for one in signatures(statements.read(envelope))]
    per_entry = size / len(some)
    references = (
        fastest(lambda: [hashlib.sha256(leaf).digest() for leaf in leaves]) * per_entry,
        fastest(lambda: [key.verify(told, said) for key, told, said in given]) * per_entry,
    )
    return [
        rate(BENCH, case, figure, "entries/s", size, (least(engine, log, which), reference))
        for figure, which, reference in zip(
            ("verified without signatures", "verified with signatures"),
            (Signatures.NONE, Signatures.ALL),
            references,
            strict=True,
        )
    ]


def least(engine: Sqlite | Postgresql, log: source.Database, which: Signatures) -> float:
    """Return the seconds of a verification: the fastest of some of a short log."""
    clean = partial(cleaned, engine, log, which)
    return fastest(clean) if log.size() < REFERENCE else timed(clean)


def cleaned(engine: Sqlite | Postgresql, log: source.Database, which: Signatures) -> None:
    all_ = which is Signatures.ALL
    with (
        apart.beginning(log, engine.url(engines.LOG), None) if all_ else nullcontext() as made,
        ahead.beginning(log) if all_ else nullcontext() as others,
    ):
        verdict = verify(log, signatures=which, apart=made, ahead=others)
    if not verdict.verified:
        sys.exit(verdict.sentence)


def signatures(statement: Statement) -> list[tuple[Ed25519PublicKey, bytes, bytes]]:
    message = dsse.pae(statements.PAYLOAD_TYPE, statement.payload)
    return [
        (Ed25519PublicKey.from_public_bytes(bytes.fromhex(key[8:])), signature, message)
        for key, signature in statement.signatures.items()
        if key.startswith("ed25519:")
    ]


# --- asking -------------------------------------------------------------------------------


def answers(
    engine: Sqlite | Postgresql, c: Connection, number: int, case: str
) -> list[dict[str, Any]]:
    """Prove entries and answer questions; beside each, one entry that the driver finds."""
    size = store.size_of(c)
    case = f"{case}, {size} entries"
    places = [each * size // PROOFS for each in range(PROOFS)]
    question = f"SELECT envelope FROM entries WHERE seq = {engine.holder}"
    with engine.raw(engines.LOG) as raw:
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
        "contributions --refused": lambda: query_covered.contributions_covered(c, refused=True),
        "contributions": lambda: query_covered.contributions_covered(c, page=FIRST),
        "rounds": lambda: query_rounds.rounds_held(c, page=FIRST),
        "rounds --after": lambda: query_rounds.rounds_held(c, page=Page(ROWS, middle)),
        "statistics": lambda: query_privacy.statistics(c, page=FIRST),
        "lineage": lambda: query_lineage.lineage(c, digest(f"m{number}"), page=FIRST),
        "members": lambda: query_members.members(c),
        "spending": lambda: queries.spent(c),
        "retention": lambda: query_retention.retention(c, now=NOW),
        "acts": lambda: query_acts.acts_done(c),
        "search --kind": lambda: searching.search(c, "karolinska", kind="consent-given"),
        "search, what many say": lambda: searching.search(c, "karolinska", page=FIRST),
        "search, a digest": lambda: searching.search(c, digest(f"m{middle}")[:12], page=FIRST),
        "search, what nobody says": lambda: searching.search(c, "no such word", page=FIRST),
        "agreements": lambda: query_agreed.agreements_at(c, now=NOW),
        "consents --history": lambda: query_agreed.consent_history(c),
        "checkpoint": lambda: query_heads.heads(c),
        "witness": lambda: query_heads.witnessing(c),
        "show SEQ --proof": lambda: showing.show(c, middle, proof=True),
    }


if __name__ == "__main__":
    sys.exit(main())
