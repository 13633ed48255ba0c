"""A hospital's stores of an older version: migrated by whoever is alone with them."""

from __future__ import annotations

import sqlite3

import pytest
from hospital import FEDERATION

from protos.errors import Refused
from site_agent import upgrading
from site_agent.premises import sole_agent
from site_agent.store import Store
from site_agent.store.copy import Copy


@pytest.fixture
def premises(charite):
    """The folder of a hospital that has a copy of a ledger, and whose agent does not run."""
    Copy.open(charite.premises.copy_of(FEDERATION)).close()
    charite.close()
    yield charite.premises
    charite.open()


def execute(path, statement):
    with sqlite3.connect(path) as c:
        found = c.execute(statement).fetchall()
    c.close()
    return found


def stamps(premises):
    site = execute(premises.database, "SELECT * FROM site_revision")
    copy = execute(premises.copy_of(FEDERATION), "SELECT * FROM ledger_revision")
    return site, copy


def unstamp(premises):
    """Make both stores such as there were before stamps."""
    execute(premises.database, "DROP TABLE site_revision")
    execute(premises.copy_of(FEDERATION), "DROP TABLE ledger_revision")


def ahead(path, part):
    """Do what a newer version's migration leaves behind."""
    execute(path, f"UPDATE {part}_revision SET version_num = '9999'")


def test_new_stores_are_stamped(premises):
    assert stamps(premises) == ([("0001",)], [("0001",)])


def test_an_agent_takes_over_stores_from_before_stamps(premises, charite):
    unstamp(premises)
    with sole_agent(premises):
        upgrading.bring_up(premises, at=charite.clock())
    assert stamps(premises) == ([("0001",)], [("0001",)])


def test_a_verb_does_so_where_no_agent_runs(premises, charite):
    unstamp(premises)
    upgrading.open_store(premises, at=charite.clock()).close()
    assert stamps(premises) == ([("0001",)], [("0001",)])


def test_a_verb_leaves_the_stores_alone_beside_an_agent_of_an_older_version(premises, charite):
    unstamp(premises)
    with sole_agent(premises), pytest.raises(Refused) as refused:
        upgrading.open_store(premises, at=charite.clock())
    assert refused.value.rule == "store-older"
    assert not execute(premises.database, "SELECT 1 FROM sqlite_master WHERE name LIKE '%rev%'")


def test_a_newer_versions_store_is_refused_by_agent_and_verb(premises, charite):
    ahead(premises.database, "site")
    kept = premises.database.with_name("site.db.site-0001.20261121T090000Z.backup")
    kept.touch()
    with pytest.raises(Refused) as refused:
        upgrading.bring_up(premises, at=charite.clock())
    assert refused.value.rule == "store-newer"
    assert kept.name in refused.value.todo
    with pytest.raises(Refused) as refused:
        upgrading.open_store(premises, at=charite.clock())
    assert refused.value.rule == "store-newer"
    execute(premises.database, "UPDATE site_revision SET version_num = '0001'")


def test_a_newer_versions_copy_of_a_ledger_is_refused(premises, charite):
    ahead(premises.copy_of(FEDERATION), "ledger")
    with pytest.raises(Refused) as refused:
        upgrading.bring_up(premises, at=charite.clock())
    assert refused.value.rule == "store-newer"
    with pytest.raises(Refused) as refused:
        Copy.open(premises.copy_of(FEDERATION))
    assert refused.value.rule == "store-newer"


def test_a_store_that_no_version_made_is_refused(premises):
    unstamp(premises)
    execute(premises.database, "ALTER TABLE sent DROP COLUMN content")
    with pytest.raises(Refused) as refused:
        Store.open(premises.database)
    assert refused.value.rule == "store-unknown"
    execute(premises.database, "ALTER TABLE sent ADD COLUMN content BLOB")
