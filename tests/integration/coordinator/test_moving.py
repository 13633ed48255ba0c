"""A federation moves to another database: whole, verified there, and never in two places."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, inspect, text

from coordinator.foundation import Foundation
from coordinator.moving import move
from governance.ledger import store as ledger
from governance.settings import load_coordinator
from protos.errors import Corrupt, Refused

ELSEWHERE = "sqlite:///state/elsewhere.db"


@pytest.fixture
def settled(folders):
    """The folder of a coordinator that does not run."""
    return folders.coordinator


def rule_of(refused):
    return refused.value.rule


def use(folder, url):
    """Write the database into coordinator.yaml, as an operator does."""
    path = folder / "coordinator.yaml"
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(f"database: {url}" if one.startswith("database:") else one for one in lines)
    )


def elsewhere(folder):
    return f"sqlite:///{folder / 'state' / 'elsewhere.db'}"


def run_sql(url, statement):
    engine = create_engine(url)
    with engine.begin() as c:
        c.execute(text(statement))
    engine.dispose()


def size_at(url):
    engine = ledger.open_engine(url)
    with ledger.reading(engine) as c:
        size = ledger.size_of(c)
    engine.dispose()
    return size


def tables_at(url):
    engine = create_engine(url)
    with engine.connect() as c:
        names = inspect(c).get_table_names()
    engine.dispose()
    return names


@pytest.mark.slow
async def test_a_federation_goes_on_where_it_was_moved_to(fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    await moved_on(fed, ELSEWHERE)


@pytest.mark.slow
async def test_a_federation_moves_to_postgresql_and_back(postgresql, fed):
    await fed.in_force(changes={"schedule.rounds": 2})
    await moved_on(fed, postgresql)
    await fed.stop()
    folder = fed.folders.coordinator
    back = move(folder, "sqlite:///state/back.db", at=datetime.now(UTC))
    assert back.verdict.verified


async def moved_on(fed, to):
    """Move in the middle of a federation's life; its second round is trained there."""
    folder = fed.folders.coordinator
    for site in fed.sites.values():
        site.works()
    await fed.until(lambda: (1, 1, "closed", "") in fed.rounds())
    await fed.stop()
    size = size_at(fed.url)
    moved = move(folder, to, at=datetime.now(UTC))
    assert moved.verdict.entries == size
    use(folder, to)
    await fed.start()
    await fed.come()
    for site in fed.sites.values():
        site.works()
    await fed.until(lambda: any(row[:3] == (2, 1, "closed") for row in fed.rounds()))
    fed.verified()
    assert len(fed.entries()) > size


def test_the_database_that_was_left_serves_nobody(settled):
    move(settled, ELSEWHERE, at=datetime.now(UTC))
    with pytest.raises(Refused) as refused:
        Foundation.open(settled)
    assert rule_of(refused) == "moved-away"
    assert "elsewhere.db" in refused.value.what
    use(settled, ELSEWHERE)
    Foundation.open(settled).close_now()


def test_a_database_with_anything_in_it_is_refused(settled):
    shutil.copy(settled / "state" / "coordinator.db", settled / "state" / "third.db")
    move(settled, ELSEWHERE, at=datetime.now(UTC))
    before = size_at(elsewhere(settled))
    use(settled, "sqlite:///state/third.db")
    with pytest.raises(Refused) as refused:
        move(settled, ELSEWHERE, at=datetime.now(UTC))
    assert rule_of(refused) == "cannot-move"
    assert size_at(elsewhere(settled)) == before


def test_the_database_in_use_is_no_place_to_move_to(settled):
    with pytest.raises(Refused) as refused:
        move(settled, "sqlite:///state/coordinator.db", at=datetime.now(UTC))
    assert rule_of(refused) == "cannot-move"


def test_what_is_no_database_is_refused_without_repeating_it(settled):
    with pytest.raises(Refused) as refused:
        move(settled, "mysql://someone:secret@host/x", at=datetime.now(UTC))
    assert rule_of(refused) == "bad-database"
    assert "secret" not in str(refused.value)


def test_a_history_that_does_not_verify_is_not_moved_at_all(settled):
    url = load_coordinator(settled / "coordinator.yaml").database
    run_sql(url, "UPDATE keys SET name = 'mallory' WHERE name = 'amc'")
    with pytest.raises(Corrupt) as refused:
        move(settled, ELSEWHERE, at=datetime.now(UTC))
    assert rule_of(refused) == "move-unverified"
    assert tables_at(elsewhere(settled)) == []
    run_sql(url, "UPDATE keys SET name = 'amc' WHERE name = 'mallory'")
    move(settled, ELSEWHERE, at=datetime.now(UTC))


def test_a_federation_that_never_was_is_not_moved(settled):
    use(settled, "sqlite:///state/never.db")
    with pytest.raises(Refused) as refused:
        move(settled, ELSEWHERE, at=datetime.now(UTC))
    assert rule_of(refused) == "no-ledger"


def test_nothing_is_moved_while_a_coordinator_runs(settled):
    base = Foundation.open(settled)
    try:
        with pytest.raises(Refused) as refused:
            move(settled, ELSEWHERE, at=datetime.now(UTC))
        assert rule_of(refused) == "store-in-use"
    finally:
        base.close_now()
