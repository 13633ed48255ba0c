"""The operator's verbs about what is kept: each wrong word is answered in a sentence."""

from __future__ import annotations

import sys

import pytest

from coordinator.cli import app
from governance import terminal


@pytest.fixture
def program(monkeypatch, capsys):
    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["concilium-coordinator", *argv])
        with pytest.raises(SystemExit) as ended:
            terminal.run(app)
        return ended.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("subject", ["charite", "site/", "round/x", "entry/-1", ""])
def test_a_hold_on_no_subject_is_answered_with_what_a_subject_is(program, subject):
    code, told = program("hold", "set", subject, "--reason", "a case")
    assert code == 2
    assert "site/charite" in told
    assert "[bad-subject]" in told


def test_a_hold_is_set_or_lifted(program):
    code, told = program("hold", "keep", "all", "--reason", "a case")
    assert code == 2
    assert "set" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("named", ["17", "officer", "17.officer", "-1:officer"])
def test_an_erasure_of_nothing_is_answered_with_an_example(program, named):
    code, told = program("erase", "--yes", "--", named)
    assert code == 2
    assert "17:officer" in told
