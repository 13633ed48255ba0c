"""A hint that is copied works: it names the folder, file or ledger that was given."""

from __future__ import annotations

import pytest

from coordinator.cli import app as coordinator
from governance import hints
from governance.ledger.cli import app as ledger
from site_agent.cli import app as site

NAME = "concilium-coordinator"
PROGRAMS = {"coordinator": coordinator, "site": site, "ledger": ledger}


@pytest.fixture
def called():
    """Note how a program was called, until the test is over."""

    def call(program, line):
        hints.note(PROGRAMS[program], [f"/bin/concilium-{program}", *line.split()])

    yield call
    hints.note(coordinator, [NAME])


@pytest.mark.parametrize(
    ("program", "line", "said", "hint"),
    [
        (
            "coordinator",
            "resume --folder fed",
            "See with: concilium-coordinator status",
            "See with: concilium-coordinator status --folder fed",
        ),
        (
            "coordinator",
            "propose a.yaml --identity=op/rossi",
            "concilium-coordinator invite site amc",
            "concilium-coordinator invite --identity op/rossi site amc",
        ),
        (
            "site",
            "status --site a.yaml --federation x",
            "Read it with `concilium-site review`, then consent.",
            "Read it with `concilium-site review --site a.yaml --federation x`, then consent.",
        ),
        (
            "ledger",
            "round 99 --export handover",
            "See which there are with: concilium-ledger rounds",
            "See which there are with: concilium-ledger rounds --export handover",
        ),
    ],
)
def test_a_hint_names_the_place_that_was_given(called, program, line, said, hint):
    called(program, line)
    assert hints.complete(said) == hint


def test_a_place_that_the_shell_would_break_is_quoted():
    hints.note(coordinator, [NAME, "status", "--folder", "my fed"])
    said = hints.complete("concilium-coordinator resume")
    hints.note(coordinator, [NAME])
    assert said == "concilium-coordinator resume --folder 'my fed'"


@pytest.mark.parametrize(
    "said",
    [
        "concilium-coordinator serve --folder other",
        "concilium-coordinator schema",  # has no such option
        "its agent to connect: concilium-site run",
        "`concilium-coordinator` is the operator's",
        ".venv/bin/concilium-coordinator status",
    ],
)
def test_what_says_itself_where_or_is_for_somebody_else_stays(called, said):
    called("coordinator", "status --folder fed")
    assert hints.complete(said) == said


def test_nothing_is_added_where_nothing_was_given(called):
    called("coordinator", "status")
    assert hints.complete("concilium-coordinator resume") == "concilium-coordinator resume"
