"""A schema that changes without a migration fails here: both ways of making it agree."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from coordinator.store.parts import STATE
from governance.ledger import migrating, revisions, store, views
from governance.ledger.making import LEDGER
from site_agent.store.upgrading import SITE

PARTS = (LEDGER, STATE, SITE)
VIEWS_AT = ("0001", "c9abaec55a84b48b")
"""The newest script, and what the views are since it; a script may have nothing to run."""
OBJECTS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%revision%'",
    "postgresql": """
        SELECT t.tgname, pg_get_triggerdef(t.oid) || p.prosrc
          FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE NOT t.tgisinternal
        UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
          WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'
    """,
}


@pytest.fixture(params=PARTS, ids=lambda part: part.name)
def part(request):
    return request.param


def objects(c):
    found = c.execute(text(OBJECTS[c.dialect.name]))
    return {name: sql and " ".join(sql.split()) for name, sql in found}


def test_scripts_from_nothing_make_the_tables_that_the_program_uses(nothing, part):
    with nothing.begin() as c:
        migrating.run(c, part, part.newest)
        context = MigrationContext.configure(
            c, opts={"version_table": part.stamp, "compare_type": True}
        )
        assert compare_metadata(context, part.metadata) == []
        assert revisions.look(c, part).standing is revisions.Standing.CURRENT


def test_triggers_indexes_and_constraints_are_the_same_both_ways(nothing, part):
    with nothing.connect() as c:
        with c.begin() as transaction:
            migrating.run(c, part, part.newest)
            part.after(c)
            migrated = objects(c)
            transaction.rollback()
        with c.begin():
            revisions.make(c, part)
            made = objects(c)
    assert {name: sql for name, sql in migrated.items() if "revision" not in name} == {
        name: sql for name, sql in made.items() if "revision" not in name
    }


def test_views_that_change_come_with_a_script_that_has_them_made_anew():
    asked = [str(question) for _, question in sorted(views.VIEWS.items())]
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    assert (LEDGER.newest, digest[:16]) == VIEWS_AT


@pytest.mark.sqlite
def test_a_new_store_is_stamped_as_alembic_reads_it(nothing, part):
    with nothing.begin() as c:
        revisions.make(c, part)
        context = MigrationContext.configure(c, opts={"version_table": part.stamp})
        assert context.get_current_heads() == (part.newest,)


def test_the_scripts_are_one_chain_in_the_order_of_their_names(part):
    scripts = ScriptDirectory(str(part.scripts), version_locations=[str(part.scripts)])
    chain = [one.revision for one in scripts.walk_revisions()]
    assert tuple(chain[::-1]) == part.known
    for path in part.scripts.glob("r*.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_a_store_that_is_current_is_opened_without_alembic(tmp_path):
    path = tmp_path / "ledger.db"
    engine = store.open_engine(f"sqlite:///{path}")
    store.create(engine)
    engine.dispose()
    does = (
        "import sys; from governance.ledger import source, store;"
        "e = store.open_engine(sys.argv[1]); store.create(e);"
        "source.open_database(sys.argv[1]);"
        "import coordinator.store.writer as w; w.Store.open(sys.argv[1]).close_now();"
        "assert 'alembic' not in sys.modules and 'mako' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", does, f"sqlite:///{path}"], check=True)
