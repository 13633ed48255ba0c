"""A newcomer whose token is not good is told so in one sentence, and nothing is lost."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from programs import COORDINATOR, LEDGER, SITE, call, done, refused
from standing import DEMO, edited

from coordinator.console import open_console
from governance.identity.enrolment import mint, read_token, secret_hash
from governance.statements import timestamp


@pytest.fixture(scope="module")
def console(served):
    """The operator's own client, where a command line for each token would only take time."""
    with open_console(served.coordinator, None) as console:
        yield console


def invited(console, role, name):
    token, _ = console.invite(role, name, hours=1, now=datetime.now(UTC))
    return token


class Newcomer:
    """A hospital that wants to enrol, with its own folder."""

    def __init__(self, served, folder, name):
        self._served, self.name, self.site_file = served, name, folder / "site.yaml"
        shutil.copytree(DEMO / "sites" / "hillcrest", folder)

        def change(said):
            cohort = next(iter(said["cohorts"]))
            entry = {"folder": "enrolled/here", "cohort": cohort, "proxy": "none"}
            said.update(name=name, federations=[{"coordinator": "localhost:1", **entry}])

        edited(self.site_file, change)

    def enrol(self, token):
        return call(SITE, "enrol", token, "--site", self.site_file, *self._served.secret)

    @property
    def is_enrolled(self):
        who = f"site/{self.name}"
        return [actor for _, _, actor in self._served.entries("enrolled")].count(who) == 1


@pytest.fixture
def newcomer(served, tmp_path, request):
    return Newcomer(served, tmp_path / "newcomer", f"st-{secrets.token_hex(4)}")


def test_a_token_enrols_one_holder_once(served, newcomer, tmp_path):
    token = served.token("site", newcomer.name)
    assert newcomer.enrol(token).code == 0
    assert newcomer.is_enrolled
    before = served.entries()
    thief = Newcomer(served, tmp_path / "thief", newcomer.name)
    refused(thief.enrol(token), f"site {newcomer.name} was used before", "tell the operator")
    assert served.entries() == before
    refused(newcomer.enrol(token), "no entry that waits for the federation")
    assert served.entries() == before


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda token: {"root": "ab" * 32}, ["fingerprint is", "ab" * 32, "by another way"]),
        (lambda token: {"secret": bytes(32)}, ["nobody was invited with this token"]),
        (lambda token: {"federation": "elsewhere"}, ["not the coordinator of elsewhere"]),
    ],
    ids=["wrong-fingerprint", "made-up-secret", "another-federation"],
)
def test_a_spoilt_token_enrols_nobody_and_the_good_one_still_does(
    served, console, newcomer, spoilt, words
):
    token = invited(console, "site", newcomer.name)
    before, log = served.entries(), len(served.running["coordinator"].lines)
    read = read_token(token)
    said = newcomer.enrol(mint(replace(read, **spoilt(read))))
    refused(said, *words)
    assert served.entries() == before
    if "root" in spoilt(read):  # whoever is not the coordinator is sent nothing
        assert "enrolment" not in "".join(served.running["coordinator"].lines[log:])
    assert newcomer.enrol(token).code == 0
    assert newcomer.is_enrolled


def test_a_token_for_another_name_enrols_nobody_and_stays_good(
    served, console, newcomer, tmp_path
):
    token = invited(console, "site", newcomer.name)
    other = Newcomer(served, tmp_path / "other", "st-other")
    before = served.entries()
    refused(other.enrol(token), f"for site {newcomer.name}", "of site st-other")
    forged = mint(replace(read_token(token), name="st-other"))
    refused(other.enrol(forged), f"for site {newcomer.name}, not for site st-other")
    assert served.entries() == before
    assert newcomer.enrol(token).code == 0


def test_a_token_is_for_one_role(served, console, newcomer, tmp_path):
    tokens = {role: invited(console, role, newcomer.name) for role in ("site", "operator")}
    tokens["auditor"] = invited(console, "auditor", newcomer.name)
    before = served.entries()
    place = ("--identity", tmp_path / "me")
    for role in ("operator", "auditor"):
        refused(newcomer.enrol(tokens[role]), f"for {role} {newcomer.name}")
    for role in ("site", "auditor"):
        said = call(COORDINATOR, "enrol", tokens[role], *place)
        refused(said, f"this token is for a {role}", "enrols with its own program")
    for role in ("site", "operator"):
        refused(call(LEDGER, "enrol", tokens[role], *place), role)
    assert served.entries() == before
    done(LEDGER, "enrol", tokens["auditor"], *place)


def test_a_token_past_its_time_enrols_nobody_and_a_new_one_does(served, console, newcomer):
    token = expired(console, newcomer.name)
    invited(console, "auditor", "somebody-else")  # so that the door stays open
    before = served.entries()
    refused(
        newcomer.enrol(token), "this token ended on", "the newest that the operator gave you"
    )
    assert served.entries() == before
    assert newcomer.enrol(invited(console, "site", newcomer.name)).code == 0


def expired(console, name):
    """Return a token whose time is over, as the coordinator's clock has it."""
    secret, token = secrets.token_bytes(32), read_token(invited(console, "auditor", "lender"))
    ends = datetime.now(UTC) + timedelta(milliseconds=200)
    body = {
        "act": "invite",
        "role": "site",
        "name": name,
        "expires": timestamp(ends),
        "secret": secret_hash(secret),
    }
    console.act("operator-acted", body, now=datetime.now(UTC))
    return mint(replace(token, role="site", name=name, secret=secret))


@pytest.mark.parametrize("token", ["", "concilium1.", "concilium1.e30", "hello"])
def test_what_is_no_token_is_said_before_anything_is_made(served, newcomer, token):
    refused(newcomer.enrol(token), "this is no invitation token", "Copy the whole line")
    assert not (newcomer.site_file.parent / "keys").exists()
