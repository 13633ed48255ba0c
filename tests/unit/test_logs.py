"""Each line of a log says whose it is and in which round, as JSON."""

from __future__ import annotations

import json

import pytest
import structlog

from coordinator import starting
from site_agent import process


@pytest.fixture(autouse=True)
def former():
    known = structlog.get_config()
    yield
    structlog.configure(**known)


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_coordinators_lines_have_the_round_that_is_open_now(capsys):
    at_work = {}
    starting.log_to_stderr(at_work)
    log = structlog.get_logger("test")
    log.info("serving")
    at_work.update(round=3, attempt=2)
    log.warning("site-gone", site="amc")
    first, second = lines(capsys)
    assert "round" not in first
    assert (second["round"], second["attempt"], second["site"]) == (3, 2, "amc")


def test_an_agents_lines_have_its_site_and_a_tasks_round(capsys):
    process.log_as_json("charite")
    log = structlog.get_logger("test")
    log.info("started")
    log.info("task-over", task="hearts/17/2/train", state="done")
    first, second = lines(capsys)
    assert first["site"] == "charite"
    assert (second["federation"], second["round"], second["attempt"]) == ("hearts", 17, 2)


def test_what_is_no_name_of_a_task_gives_no_round(capsys):
    process.log_as_json("charite")
    structlog.get_logger("test").info("task-over", task="who/knows")
    (line,) = lines(capsys)
    assert "round" not in line
