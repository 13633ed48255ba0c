"""A coordinator that means no good: what it says never binds the site beyond its own rules."""

from __future__ import annotations

import grpc
import pytest
from hospital import FEDERATION

from protos.errors import Refused
from protos.words import TaskAnswer
from site_agent import link
from site_agent.store import letters


@pytest.mark.parametrize(
    "details",
    [
        "Received http2 header with status: 403",
        "RBAC: access denied",
        f"{'x' * 200}: too long",
        "no\x1b[2J: steers a terminal",
        "no rule at all",
        "",
    ],
)
def test_a_rule_that_is_none_does_not_stop_the_outbox_for_ever(charite, details):
    problem = link._ours(grpc.StatusCode.PERMISSION_DENIED, details, "download")
    assert isinstance(problem, Refused)
    assert problem.rule == "permission-denied"
    answer = TaskAnswer("hearts/1/1/train", accepted=False, rule=problem.rule)
    charite.store.now(
        lambda c: letters.send(c, FEDERATION, answer, at=charite.clock(), rule="task-refused")
    )
    assert charite.sent(TaskAnswer) == [answer]


def test_a_rule_that_is_one_is_kept():
    problem = link._ours(grpc.StatusCode.NOT_FOUND, "round-over: it is over", "upload")
    assert (problem.rule, problem.what) == ("round-over", "upload: it is over")
