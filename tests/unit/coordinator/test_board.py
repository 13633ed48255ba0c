"""What the board of `watch` and of a rehearsal says, on a terminal and elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from coordinator.board import Board
from protos.words import Digest, SiteName
from protos.words_operator import PendingAct, SiteStatus, StatusReport

D = Digest("a" * 64)
AMC = SiteStatus(
    name=SiteName("amc"),
    connected=True,
    consent="in-force",
    doing="train: accepted",
    waiting_for="its task to end",
    steps_done=12,
)
UCL = SiteStatus(
    name=SiteName("ucl"),
    connected=False,
    consent="objected",
    doing="idle",
    waiting_for="its officer: «[red]no[/]»",
    steps_done=0,
)
REPORT = StatusReport(
    federation="hearts",
    state="round 3, attempt 1: collecting",
    agreement=D,
    proposed="",
    round=3,
    attempt=1,
    round_state="collecting",
    sites=(AMC, UCL),
    enrolled=(),
    pending=(),
    operator_counter=0,
    operator_previous=D,
    ledger_size=40,
    root=D,
    rounds_committed=2,
    rounds_planned=8,
    document=b"",
    metric="auc",
    quality=(0.71, 0.90, 0.85),
    alarms=("the disk of fed has 4% free",),
)


@pytest.fixture
def shown():
    """Return what a board says of reports, as lines or as on a terminal."""

    def showing(*reports, terminal=False, **how):
        board, out = Board(**how), io.StringIO()
        board.console = Console(file=out, force_terminal=terminal, width=120, no_color=True)
        board._live.console = board.console
        with board:
            for report in reports:
                board.show(report)
        return out.getvalue()

    return showing


def test_without_a_terminal_each_news_is_a_line(shown):
    assert shown(REPORT).splitlines() == [
        "2 of 8 rounds closed",
        "round 3, attempt 1: collecting",
        "  amc: in-force, trains; waits for its task to end",
        "  ucl: objected, not connected, idle; waits for its officer: «[red]no[/]»",
        "ALARM: the disk of fed has 4% free",
    ]


def test_what_was_said_is_not_said_again_until_it_was_otherwise(shown):
    other = replace(REPORT, state="round 3, attempt 1: evaluating")
    said = shown(REPORT, REPORT, other, REPORT).splitlines()
    assert said.count("  amc: in-force, trains; waits for its task to end") == 1
    assert said.count("round 3, attempt 1: evaluating") == 1
    assert said.count("round 3, attempt 1: collecting") == 2


def test_a_rehearsal_says_only_which_rounds_are_closed(shown):
    over = replace(REPORT, rounds_committed=3, rounds_planned=0)
    assert shown(REPORT, REPORT, over, brief=True, planned=8).splitlines() == [
        "  round 2 of 8 is closed; the ledger has 40 entries",
        "  round 3 of 8 is closed; the ledger has 40 entries",
    ]


def test_a_terminal_shows_rounds_quality_sites_and_alarms(shown):
    said = shown(REPORT, terminal=True)
    assert "hearts: round 3, attempt 1: collecting" in said
    assert "2/8 rounds" in said
    assert "auc ▁█▆ 0.850" in said
    assert "trains" in said
    assert "12 steps" in said
    assert "ALARM: the disk of fed has 4% free" in said


def test_an_upload_is_shown_by_how_much_of_it_came(shown):
    sending = replace(AMC, bytes_in=1_500_000, bytes_all=3_000_000)
    said = shown(replace(REPORT, sites=(sending,)), terminal=True)
    assert "sends its update" in said
    assert "50% of 3.0 MB" in said


def test_words_of_a_site_are_no_markup(shown):
    assert "«[red]no[/]»" in shown(REPORT, terminal=True)


def test_an_act_that_waits_for_a_second_operator_is_shown(shown):
    waiting = replace(REPORT, pending=(PendingAct(D, "revoke", "operator/rossi", b""),))
    sentence = f"revoke by operator/rossi waits for a second operator: approve {D[:12]}"
    assert sentence in shown(waiting)
    assert sentence in shown(waiting, terminal=True)
