"""A newer version of the programs takes over a federation, and the older one says so."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from programs import COORDINATOR, LEDGER, SITE, Running, call, done, refused
from standing import ROOT

PACKAGES = ("coordinator", "governance", "protos", "site_agent")
CHAINS = {
    "governance/ledger/migrations/versions": "acts",
    "coordinator/store/migrations": "invitations",
    "site_agent/store/migrations": "journal",
}
SCRIPT = """\
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    op.add_column("{table}", sa.Column("later", sa.String()))
"""


@pytest.fixture
def newer(tmp_path):
    """An environment in which the programs are of a version with a script more each."""
    place = tmp_path / "newer"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for folder, table in CHAINS.items():
        scripts = place / folder
        last = max(path.name[1:5] for path in scripts.glob("r[0-9]*.py"))
        next_ = f"{int(last) + 1:04d}"
        told = SCRIPT.format(revision=next_, before=last, table=table)
        (scripts / f"r{next_}_later.py").write_text(told)
    return {"env": {**os.environ, "PYTHONPATH": str(place)}}


def migrated(running):
    """Return what a program logged of each migration."""
    told = [json.loads(line) for line in running.lines if line.startswith("{")]
    return [line["what"] for line in told if line["event"] == "migrated"]


def test_a_newer_version_goes_on_and_the_older_one_refuses_what_it_left(fed, newer):
    fed.serve()
    fed.run("eastfield")
    fed.stop("eastfield")
    fed.stop("coordinator")
    agent = (SITE, "run", "--site", fed.site_file("eastfield"))
    serve = (COORDINATOR, "serve", "--folder", fed.coordinator)

    fed.running["coordinator"] = Running(*serve, **newer)
    fed.running["coordinator"].until('"serving"')
    fed.running["eastfield"] = Running(*agent, **newer)
    fed.running["eastfield"].until("session-open")
    (of_coordinator,) = migrated(fed.running["coordinator"])
    assert len(migrated(fed.running["eastfield"])) == 2  # its store, its copy of the ledger
    fed.stop("eastfield")
    fed.stop("coordinator")
    done(LEDGER, "verify", "--url", fed.database, **newer)

    (kept,) = (fed.coordinator / "state").glob("*.backup")
    assert kept.name in of_coordinator
    assert kept.stat().st_mode & 0o777 == 0o600
    refused(call(*serve), "store-newer", kept.name)
    refused(call(*agent), "store-newer", ".backup")
    refused(fed.auditor("verify"), "store-newer")
    done(LEDGER, "verify", "--url", f"sqlite:///{kept}")
