"""The operator's verbs about what goes on, as programs beside a running coordinator."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import time

import pytest
from coordinator_process import PROGRAM
from federations import SITES
from scripted_site import PATIENCE_S, small_step

OPERATOR = "van-dijk"
ENOUGH_S = 2.0


async def started(fed, verb, *more, **streams):
    folder = fed.folders.identity(OPERATOR).folder
    return await asyncio.create_subprocess_exec(
        str(PROGRAM),
        verb,
        *more,
        "--identity",
        str(folder),
        stdin=asyncio.subprocess.DEVNULL,
        **{"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, **streams},
    )


async def ran(fed, verb, *more):
    """Run a verb; return its exit code, its answer and what it told."""
    process = await started(fed, verb, *more)
    out, told = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, out.decode(), told.decode()


async def contribute(fed, tasks, *names):
    for name in names:
        site = fed.site(name)
        await site.contribute(tasks[name], small_step(site, tasks[name]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "klass"),
    [
        ({"title": "The same, renamed"}, "editorial"),
        ({"round.deadline": "20m"}, "operational"),
        ({"optimizer.rate": 0.1, "title": "Another"}, "material"),
    ],
)
async def test_a_change_of_the_agreement_in_force_is_proposed_with_its_classes(
    fed, change, klass
):
    first = await fed.in_force()
    second = fed.document(changes=change)
    code, _, told = await ran(fed, "propose", str(fed.folders.place / "agreement.yaml"))
    assert code == 0, told
    said = [entry.body for entry in fed.entries("agreement-proposed")]
    assert [body["agreement"] for body in said] == [first.digest, second.digest]
    assert set(said[1]["changes"]) == set(change)
    assert klass in said[1]["changes"].values()
    fed.verified()


@pytest.mark.slow
async def test_rounds_and_round_tell_of_the_round_at_work(fed):
    await fed.in_force()
    tasks = await fed.tasks()
    await contribute(fed, tasks, "amc")
    await fed.site("ucl").refuse(tasks["ucl"], "quiet-hours")
    code, out, _ = await ran(fed, "rounds", "--format", "json")
    (attempt,) = json.loads(out)["attempts"]
    assert code == 0
    assert attempt["sites_in"] == ["amc"]
    assert attempt["sites_out"] == {"ucl": "quiet-hours"}
    assert attempt["waits_for"] == ["charite"]
    code, out, _ = await ran(fed, "round", "1")
    assert code == 0
    assert "waited for" in out
    assert "quiet-hours" in out
    code, _, told = await ran(fed, "round", "9")
    assert code == 2
    assert told.startswith("error: there is no round 9")


@pytest.mark.slow
async def test_a_round_is_stopped_by_the_verb_and_the_reason_stays_beside_the_ledger(fed):
    code, _, told = await ran(fed, "stop-round", "--reason", "wrong rate", "--yes")
    assert code == 2
    assert told.startswith("error: no round is at work")
    await fed.in_force()
    await fed.tasks()
    code, _, told = await ran(fed, "stop-round", "--reason", "wrong rate")
    assert code == 2
    assert "Say --yes" in told
    code, _, told = await ran(fed, "stop-round", "--reason", "wrong rate", "--yes")
    assert code == 0
    assert "Stopped round 1, attempt 1." in told
    await fed.until_ended((1, 1, "abandoned", "operator-stopped"))
    assert set(fed.entries("operator-acted")[-1].commitments) == {"reason"}


async def test_a_proposal_is_withdrawn_by_the_verb(fed):
    code, _, told = await ran(fed, "withdraw-proposal", "--reason", "a mistake", "--yes")
    assert code == 2
    assert told.startswith("error: no agreement is proposed")
    document = await fed.propose()
    code, _, told = await ran(fed, "withdraw-proposal", "--reason", "a mistake", "--yes")
    assert code == 0
    assert told.startswith(f"Withdrew the proposal {document.digest[:12]} (entry ")
    assert fed.entries("agreement-proposal-withdrawn")


async def test_a_blank_reason_is_refused_and_nothing_is_done(fed):
    before = len(fed.entries())
    for verb in (("pause",), ("stop-round", "--yes"), ("withdraw-proposal", "--yes")):
        code, _, told = await ran(fed, *verb, "--reason", "  ")
        assert code == 2
        assert told.startswith("error: the reason is blank [blank-reason]\n")
    assert len(fed.entries()) == before


async def test_a_second_invitation_says_that_the_earlier_token_no_longer_holds(fed):
    _, first, told = await ran(fed, "invite", "site", "gemelli")
    assert "no longer holds" not in told
    _, second, told = await ran(fed, "invite", "site", "gemelli")
    assert told.startswith("The token that gemelli was given before no longer holds.\n")
    assert first != second


@pytest.mark.slow
async def test_watch_says_each_news_and_ends_at_ctrl_c_within_two_seconds(fed):
    await fed.in_force()
    tasks = await fed.tasks()
    watching = await started(fed, "watch")
    await heard(watching.stderr, "round 1, attempt 1: training")
    await contribute(fed, tasks, *SITES)
    await heard(watching.stderr, "round 1, attempt 1: evaluating")
    assert await interrupted(watching) < ENOUGH_S
    assert watching.returncode == 0


@pytest.mark.slow
async def test_watch_waits_for_a_coordinator_that_is_away_and_goes_on(fed):
    await fed.in_force()
    await fed.tasks()
    watching = await started(fed, "watch")
    await heard(watching.stderr, "round 1, attempt 1: training")
    await fed.stop()
    await heard(watching.stderr, "trying again")
    await fed.start()
    await heard(watching.stderr, "round 1, attempt 1: training")
    assert await interrupted(watching) < ENOUGH_S


async def test_watch_on_a_terminal_shows_a_table_and_ends_at_ctrl_c(fed):
    await fed.in_force()
    await fed.tasks()
    ours, theirs = pty.openpty()
    watching = await started(fed, "watch", stderr=theirs)
    os.close(theirs)
    try:
        seen = await asyncio.to_thread(read_until, ours, b"round 1, attempt 1: training")
        assert b"waiting for" in seen
        assert b"charite" in seen
        assert await interrupted(watching) < ENOUGH_S
        assert watching.returncode == 0
    finally:
        os.close(ours)


async def test_watch_says_at_once_that_nobody_answers(fed):
    await fed.stop()
    code, _, told = await ran(fed, "watch")
    assert code == 3
    assert "cannot be reached" in told


async def heard(stream, words):
    async with asyncio.timeout(PATIENCE_S):
        while words not in (line := (await stream.readline()).decode()):
            assert line, f"it ended before it said {words}"


def read_until(terminal, words):
    seen = b""
    while words not in seen or b"ucl" not in seen:
        seen += os.read(terminal, 4096)
    return seen


async def interrupted(process):
    """Press Ctrl-C; return after how many seconds the program ended."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.wait(), PATIENCE_S)
    return time.monotonic() - began


@pytest.mark.slow
async def test_status_and_plan_show_who_declined_why_and_what_it_would_sign(fed):
    document = await fed.propose()
    (ucl,) = await fed.come("ucl")
    wanted = json.dumps([{"path": "optimizer.rate", "old": "0.3", "new": "0.1"}])
    told = (ucl.disclose("reason", "too fast"), ucl.disclose("counter", wanted))
    body = {"agreement": document.digest}
    await ucl.must_say("consent-declined", body, key=ucl.officer, told=told)
    said = ("ucl declined the proposal: «too fast»", "would sign optimizer.rate: 0.3 -> 0.1")
    _, out, _ = await ran(fed, "status")
    assert all(words in out for words in said)
    path = fed.folders.place / "agreement.yaml"
    _, out, _ = await ran(fed, "plan", str(path))
    assert all(words in out for words in (*said, "(not taken up)"))
    fed.document(changes={"optimizer.rate": 0.1})
    _, out, _ = await ran(fed, "plan", str(path), "--format", "json")
    (dissent,) = json.loads(out)["dissents"]
    assert (dissent["site"], dissent["counter"][0]["class"]) == ("ucl", "m")
    _, out, _ = await ran(fed, "plan", str(path))
    assert "(taken up)" in out


async def test_a_counter_proposal_that_nobody_can_read_hides_no_status(fed):
    document = await fed.propose()
    (ucl,) = await fed.come("ucl")
    told = (ucl.disclose("counter", "[{]"),)
    body = {"agreement": document.digest}
    await ucl.must_say("consent-declined", body, key=ucl.officer, told=told)
    code, out, _ = await ran(fed, "status")
    assert (code, "cannot be read" in out) == (0, True)
