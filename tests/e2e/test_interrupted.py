"""Ctrl-C at any moment: an end within two seconds, no traceback, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from programs import COORDINATOR, LEDGER, SITE, Running, children_of, limit_s
from standing import DEMO, SITES, agreement_with

PLAN = (COORDINATOR, "plan", DEMO / "agreement.yaml")
CHECK = (SITE, "check", DEMO / "agreement.yaml")
HERE = ("--site", DEMO / "sites" / "north-general" / "site.yaml")
INTERRUPTED = "error: interrupted; nothing is lost, give the same command again [interrupted]\n"


def loading(*argv):
    """Start a program that tells each module that it has loaded."""
    return Running(*argv, env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})


@pytest.mark.parametrize(
    ("argv", "module"),
    [
        (PLAN, "typer.core"),
        (PLAN, "governance.terminal"),
        (PLAN, "governance.agreement.load"),
        (PLAN, "scipy.special"),
        ((*CHECK, *HERE), "rich.console"),
        ((*CHECK, *HERE), "site_agent.data.csv"),
        ((LEDGER, "verify", "--url", "nowhere.db"), "sqlalchemy.engine"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_a_verb_is_interrupted_in_one_sentence_at_most(argv, module):
    with loading(*argv) as program:
        program.until(rf"\| +{module}$")
        said = program.interrupt()
    told = "".join(line for line in program.lines if not line.startswith("import time:"))
    assert (said.code, told) in {(-signal.SIGINT, ""), (130, INTERRUPTED)}
    assert said.seconds < limit_s(2)


def test_an_agent_is_interrupted_while_its_worker_starts_and_goes_on_later(fed):
    fed.serve()
    name = SITES[0]
    for _ in range(2):
        (agent,) = fed.run(name)
        said = agent.interrupt()
        assert "Traceback" not in said.err
        assert (said.code, said.seconds < limit_s(2)) == (0, True), said
        assert not children_of(agent.pid)
    del fed.running[name]
    assert fed.site(name, "status").code == 0


@pytest.mark.long
def test_a_rehearsal_is_interrupted_and_the_same_command_begins_anew(tmp_path):
    agreement = agreement_with(tmp_path / "agreement.yaml", {"schedule.rounds": 3})
    out = tmp_path / "out"
    command = (COORDINATOR, "rehearse", agreement, "--sites", DEMO / "sites", "--out", out)
    for time in range(2):
        with Running(*command) as rehearsal:
            rehearsal.until("Enrolling")
            said = rehearsal.interrupt()
        assert said.code == 130, said
        assert "Traceback" not in said.err
        assert said.err.endswith(begins_anew(out))
        assert ("did not come to its end; it begins anew" in said.err) == (time > 0)
        assert said.seconds < limit_s(2)
        assert not named(str(out)), "a program of the rehearsal is left"


def begins_anew(out):
    return (
        "error: interrupted; every program of the rehearsal has ended, "
        f"what it left is in {out} [interrupted]\n"
        "The same command begins it anew, in the same folder.\n"
    )


def named(words):
    """Return the processes whose command line has these words."""
    told = subprocess.run(
        ["ps", "-e", "-o", "args="], capture_output=True, text=True, check=False
    )
    return [line for line in told.stdout.splitlines() if words in line]
