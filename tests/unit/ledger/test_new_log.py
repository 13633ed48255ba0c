"""A new log is bound to the one before, and nobody is asked in it who did not accept it."""

from __future__ import annotations

import pytest

from governance.ledger import checkpoint, project_recovery, source, store
from governance.ledger.gap import sentences
from governance.ledger.rebuild import difference, empty
from governance.ledger.rebuild import load as loaded
from governance.ledger.source import HeldCheckpoint, split_witnesses
from governance.ledger.verify import verify
from protos.errors import Refused

SITES = ("amc", "ucl")


def head(fed, *sites):
    """Sign the head as the log does; sites cosign it."""
    note = store.sign_checkpoint(fed.connection, fed.key("ledger"), fed.log.origin)
    size = store.size_of(fed.connection)
    for site in sites:
        line = checkpoint.cosign(note, site=site, key=fed.key(f"{site} agent"), at=fed.now)
        store.add_cosignature(fed.connection, size, line, site)
    return store.checkpoint_of(fed.connection, size)


class Lost:
    """A log whose end was lost: what was signed at the recovered head, in between, at last."""

    def __init__(self, fed):
        self.fed, c = fed, fed.connection
        self.recovered = head(fed, *SITES)
        self.size = store.size_of(c)
        point = c.begin_nested()
        fed.open_round(1)
        fed.reserve("amc", 1)
        self.between = head(fed, "amc")
        fed.contribute("amc", 1)
        self.last = head(fed, *SITES)
        fed.agent("ucl", "consent-suspended", {"agreement": fed.at(1)["agreement"]})
        self.beyond = head(fed, "ucl")
        point.rollback()
        c.info.pop("founding", None)

    def body(self, **changes):
        lost = split_size(self.last) - self.size
        root = store.head(self.fed.connection).root.hex()
        said = {"backup": 5, "size": self.size, "root": root, "lost": lost, "last": self.last}
        return said | changes

    def declare(self, **changes):
        self.fed.operator("log-recovered", self.body(**changes))
        return self

    @property
    def new(self):
        return project_recovery.declaration(self.fed.connection, self.size)

    def accept(self, site, held="", spent=(), declared=""):
        body = {
            "declared": declared or self.new.statement,
            "review": "00" * 32,
            "held": held,
            "lost": 1,
            "spent": dict(spent),
        }
        return self.fed.officer(site, "log-accepted", body)

    def verdict(self, against=None, **more):
        pinned = None if against is None else split_witnesses(against)
        return verify(source.Database(self.fed.connection), against=pinned, **more)


def split_size(note):
    return int(note.splitlines()[1])


@pytest.fixture
def lost(agreed):
    return Lost(agreed)


@pytest.fixture
def begun(lost):
    return lost.declare()


@pytest.fixture
def refused(lost):
    def check(rule, act, *args, **more):
        with pytest.raises(Refused) as told:
            act(*args, **more)
        assert told.value.rule == rule

    return check


# --- the binding -------------------------------------------------------------------------


def test_a_new_log_names_what_it_lost_and_verify_says_it_in_a_sentence(begun):
    begun.accept("amc")
    verdict = begun.verdict()
    assert verdict.verified, verdict.sentence
    (told,) = verdict.new_logs
    said = " ".join(sentences(told))
    assert f"lost entries {begun.size} to {begun.size + 2} of the log before (3 entries" in said
    assert "Accepted by 1 of 2 sites: amc" in said
    assert verdict.to_json()["new_logs"][0]["accepted"] == ["amc"]


def test_a_new_log_names_the_root_of_what_was_recovered(lost, refused):
    refused("new-log-unbound", lost.declare, root="00" * 32)


def test_a_lost_head_that_the_log_did_not_sign_is_none(lost, refused):
    fed = lost.fed
    made_up = checkpoint.Checkpoint(fed.log.origin, lost.size + 3, bytes(32))
    forged = checkpoint.sign(made_up, fed.key("ops"))
    refused("new-log-unbound", lost.declare, last=forged, lost=3)


@pytest.mark.parametrize("said", [1, 2, 4])
def test_a_loss_is_told_as_large_as_it_is(lost, refused, said):
    refused("new-log-unbound", lost.declare, lost=said)


def test_a_head_that_was_recovered_is_not_lost(lost, refused):
    refused("bad-body", lost.declare, last=lost.recovered, lost=0)
    refused("new-log-unbound", lost.declare, last=lost.recovered, lost=1)


def test_a_binding_has_all_of_its_parts(lost, refused):
    whole = lost.body()
    for part in ("root", "lost", "last"):
        body = {name: value for name, value in whole.items() if name != part}
        refused("bad-body", lost.fed.operator, "log-recovered", body)


def test_verify_finds_an_unbound_new_log_that_the_coordinator_let_in(lost, monkeypatch):
    with monkeypatch.context() as lax:
        lax.setattr(project_recovery.new_log, "check_bound", lambda *_, **__: None)
        lost.declare(root="00" * 32)
    fault = lost.verdict().fault
    assert (fault.seq, fault.rule) == (lost.size, "new-log-unbound")
    assert "another root" in fault.sentence


# --- acceptance --------------------------------------------------------------------------


def test_nobody_is_asked_in_a_new_log_before_its_officer_accepted_it(begun, refused):
    fed = begun.fed
    refused("no-consent", fed.open_round, 1)
    begun.accept("amc")
    refused("no-consent", fed.open_round, 1)
    fed.open_round(1, sites=("amc",))
    assert begun.verdict().verified


def test_verify_names_a_site_that_was_asked_and_had_not_accepted(begun):
    fed = begun.fed
    begun.accept("amc")
    permitted = project_recovery.acceptances.update().values(accepted_seq=0)
    point = fed.connection.begin_nested()
    fed.connection.execute(permitted)
    fed.open_round(1)
    fault = begun.verdict().fault
    assert fault.rule == "log-not-accepted"
    assert "ucl had not accepted the new log" in fault.sentence
    point.rollback()


def test_an_acceptance_is_of_the_new_log_that_was_declared_and_given_once(begun, refused):
    refused("unknown-new-log", begun.accept, "amc", declared="11" * 32)
    begun.accept("amc")
    refused("unknown-new-log", begun.accept, "amc")


def test_no_new_log_is_accepted_where_none_began(agreed, refuses):
    body = {"declared": "11" * 32, "review": "00" * 32, "held": "", "lost": 0, "spent": {}}
    refuses("unknown-new-log", agreed.officer, "amc", "log-accepted", body)


def test_the_agents_key_accepts_nothing(begun, refused):
    body = {"declared": "11" * 32, "review": "00" * 32, "held": "", "lost": 0, "spent": {}}
    refused("wrong-signer", begun.fed.agent, "amc", "log-accepted", body)


def test_a_site_says_which_head_it_held(begun):
    begun.accept("amc", held=begun.last)
    begun.accept("ucl", held=begun.between)
    rows = begun.fed.connection.execute(project_recovery.acceptances.select()).all()
    assert {row.site: row.held for row in rows} == {
        "amc": begun.size + 3,
        "ucl": begun.size + 2,
    }
    with empty() as copy:
        loaded(copy, source.Database(begun.fed.connection))
        assert difference(copy, source.Database(begun.fed.connection)) is None


def test_a_second_new_log_is_accepted_anew(begun, refused):
    begun.accept("amc")
    fed, size = begun.fed, store.size_of(begun.fed.connection)
    last = later_head(fed)
    root = store.head(fed.connection).root.hex()
    lost = split_size(last) - size
    body = {"backup": 5, "size": size, "root": root, "lost": lost, "last": last}
    fed.operator("log-recovered", body)
    refused("no-consent", fed.open_round, 1, sites=("amc",))
    begun.size = size
    begun.accept("amc")
    begun.accept("ucl")
    fed.open_round(1)
    assert begun.verdict().verified


def later_head(fed):
    """Sign a head of a log that went on, and take the going on back."""
    point = fed.connection.begin_nested()
    fed.coordinator("software-started", {"program": "p", "version": "1", "os": "Linux"})
    note = store.sign_checkpoint(fed.connection, fed.key("ledger"), fed.log.origin)
    point.rollback()
    return note


# --- a hidden gap ------------------------------------------------------------------------


def test_a_site_that_held_more_than_is_declared_lost_convicts_the_declaration(begun, refused):
    refused("gap-hidden", begun.accept, "ucl", held=begun.beyond)


def test_verify_finds_a_hidden_gap_by_what_a_site_held(begun, monkeypatch):
    with monkeypatch.context() as lax:
        lax.setattr(project_recovery.new_log, "check_within", lambda *_: None)
        seq = begun.accept("ucl", held=begun.beyond)
    fault = begun.verdict().fault
    assert (fault.seq, fault.rule) == (seq, "gap-hidden")


def test_the_lost_head_itself_agrees_with_a_log_that_declares_it(begun):
    assert begun.verdict(against=begun.last).verified


def test_the_lost_head_binds_no_entries_of_the_new_log(begun):
    for site in SITES:
        begun.accept(site)
    begun.fed.open_round(1)
    assert begun.verdict(against=begun.last).verified
    assert not begun.verdict(against=begun.last, incremental=True).verified


def test_a_pinned_head_beyond_the_declared_one_shows_the_hidden_gap(begun):
    fault = begun.verdict(against=begun.beyond).fault
    assert (fault.seq, fault.rule) == (begun.size, "gap-hidden")


def test_a_pinned_head_of_what_was_lost_is_named_as_that(begun):
    fault = begun.verdict(against=begun.between).fault
    assert (fault.seq, fault.rule) == (begun.size, "head-in-gap")


def test_a_cut_tail_of_a_new_log_is_no_gap_of_the_one_before(begun):
    fed, c = begun.fed, begun.fed.connection
    point = c.begin_nested()
    begun.accept("amc")
    begun.accept("ucl")
    fed.open_round(1)
    fed.reserve("amc", 1)
    pinned = head(fed, "amc")
    point.rollback()
    assert begun.verdict(against=pinned).fault.rule == "tail-cut"


# --- what was spent ----------------------------------------------------------------------


@pytest.mark.parametrize(("stated", "rule"), [("2.0000", "epsilon-understated"), ("3.5", "")])
def test_what_was_spent_in_lost_rounds_counts_on(begun, stated, rule):
    begun.accept("amc", spent={"infarction": {"delta": "0.00001", "epsilon": "3.1000"}})
    begun.accept("ucl")
    begun.fed.open_round(1)
    begun.fed.reserve("amc", 1, total=stated)
    fault = begun.verdict().fault
    assert (fault.rule if fault else "") == rule


def test_a_head_field_takes_no_name_that_is_no_witness(lost):
    from governance.ledger.new_log import HEAD

    assert HEAD.fits(lost.last)
    line = lost.last.splitlines()[-1]
    name = line.split()[1]
    assert not HEAD.fits(lost.last.replace(name, "patient-17"))
    assert not HEAD.fits("no head")
    assert isinstance(split_witnesses(lost.last), HeldCheckpoint)
