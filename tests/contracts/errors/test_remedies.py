"""Every error has a second line: what to do next, from where it was raised or from the page."""

from __future__ import annotations

import errno

import pytest
import typer

from governance import error_pages, terminal
from protos.errors import Refused

EXPLAINED = {
    code: entry
    for entries in error_pages.catalogue().values()
    for entry in entries
    for code in entry.codes
}


def said(capsys, problem):
    app = typer.Typer()

    @app.command()
    def verb() -> None:
        raise problem

    with pytest.raises(SystemExit) as ended:
        terminal.run(lambda standalone_mode: app([], standalone_mode=standalone_mode))
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_an_error_without_a_remedy_is_followed_by_the_one_of_its_code(capsys):
    first, second = said(capsys, Refused("it holds no enrolment", rule="not-enrolled"))
    assert first == "error: it holds no enrolment [not-enrolled]"
    assert second.startswith("Next")
    assert second.endswith(EXPLAINED["not-enrolled"].next)


def test_an_error_with_a_remedy_of_its_own_keeps_that_alone(capsys):
    _, second = said(capsys, Refused("no", todo="Do this.", rule="not-enrolled"))
    assert second == "Do this."


def test_what_the_operating_system_refuses_has_a_remedy(capsys):
    first, second = said(capsys, FileNotFoundError(errno.ENOENT, "no", "four.keys"))
    assert first == "error: four.keys: No such file or directory [system]"
    assert second.endswith(EXPLAINED["system"].next)


def test_a_code_that_a_peer_made_up_has_no_remedy(capsys):
    assert said(capsys, Refused("no", rule="made-up")) == ["error: no [made-up]"]


@pytest.mark.parametrize("code", sorted(EXPLAINED))
def test_every_code_has_a_remedy(code):
    assert error_pages.remedy(code)
