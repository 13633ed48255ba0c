"""A command line that is wrong is answered in the programs' own words, all three alike."""

from __future__ import annotations

import pytest

from coordinator.cli import main as coordinator
from governance.ledger.cli import main as ledger
from site_agent.cli import main as site

PROGRAMS = {
    "concilium-coordinator": coordinator,
    "concilium-site": site,
    "concilium-ledger": ledger,
}


@pytest.fixture
def complaint(monkeypatch, capsys):
    """Return what a program complains of, when it ends with the user's exit code."""

    def complain(line):
        program, *words = line.split()
        monkeypatch.setattr("sys.argv", [f"/somewhere/bin/{program}", *words])
        with pytest.raises(SystemExit) as ended:
            PROGRAMS[program]()
        assert ended.value.code == 2
        return capsys.readouterr().err.splitlines()

    return complain


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "coordinator status --format xml",
            "--format is 'xml', but must be table, json or csv",
        ),
        ("site status --format xml", "--format is 'xml', but must be table, json or csv"),
        ("ledger verify --format xml", "--format is 'xml', but must be table, json or csv"),
        ("ledger show x", "SEQ is 'x', but must be a whole number"),
        ("coordinator round x", "NUMBER is 'x', but must be a whole number, 1 or more"),
        ("site sent --dump x", "--dump is 'x', but must be a whole number"),
        (
            "coordinator invite site a --hours 0",
            "--hours is '0', but must be a whole number from 1 to 720",
        ),
        ("coordinator rehearse a --skew x", "--skew is 'x', but must be a number"),
        ("coordinator invit", "there is no verb invit; did you mean invite or init?"),
        ("ledger verify --trus x", "there is no option --trus; did you mean --trust?"),
        ("site status more", "nothing is expected after what was given, but there is: more"),
        ("coordinator init hearts", "--host is missing"),
        ("coordinator status --folder", "--folder is given without a value"),
        (
            "coordinator invite site a --request x",
            "--request and --response go together",
        ),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_where_to_see_it_right(complaint, line, said):
    first, second = complaint(f"concilium-{line}")
    assert first == f"error: {said} [usage]"
    assert second.startswith("See how it is written, with an example: concilium-")
    assert second.endswith(" --help")


@pytest.mark.parametrize(
    "line",
    [
        "ledger consents --export x --at tomorrow",
        "ledger search word --export x --since tomorrow",
        "ledger search word --export x --until tomorrow",
        "ledger releases --export x --at tomorrow",
        "site sent --since tomorrow",
        "site consent --until tomorrow",
    ],
)
def test_a_bad_time_is_said_with_its_option_and_an_example_of_a_good_one(complaint, line):
    first, second = complaint(f"concilium-{line}")
    option = line.split()[-2]
    assert first == f"error: {option} is 'tomorrow', which is no time [bad-time]"
    assert second == "Write a day, 2026-11-21, or a time in UTC, 2026-11-21T10:46:00Z."
