"""What the ledger may say of a masked sum; whatever else the coordinator signs is named."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from histories import SITES, History, beginning
from verdicts import found

from governance.ledger import source, store
from governance.ledger.verify import verify
from protos.errors import Refused

TERMS = hashlib.sha256(b"terms").hexdigest()
ALL, LAST = list(SITES), SITES[-1]  # t = 3 of 4
REST = [site for site in ALL if site != LAST]


@pytest.fixture(scope="module")
def contributed(authorities, first_issuing, tmp_path_factory):
    """A history whose first round has all its contributions, and is open."""
    path = tmp_path_factory.mktemp("masked") / "ledger.db"
    with beginning(path, authorities, first_issuing) as federation:
        history = History(federation)
        history.begin()
        history.open(1)
        for site in SITES:
            history.train(site, 1, of=hashlib.sha256(site.encode()).hexdigest())
        return path, history


@pytest.fixture
def fed(contributed, tmp_path):
    """A copy of it, which goes on with what its coordinator signs."""
    path, history = contributed
    copy = shutil.copy(path, tmp_path / "ledger.db")
    engine = store.open_engine(source.writable_url(str(copy)))
    with engine.begin() as connection:
        history.fed.connection = connection
        yield history.fed
    engine.dispose()


@pytest.fixture
def verdict(fed):
    return lambda: verify(source.Database(fed.connection))


@pytest.fixture
def finds(verdict):
    return lambda seq, rule: found(verdict(), seq, rule)


@pytest.fixture
def says(fed):
    """Let the coordinator say steps of the masked sum of round 1."""

    def say(step, sites, *, dropped=(), refused=(), terms=TERMS, purpose="train"):
        body = {
            **fed.at(1),
            "purpose": purpose,
            "terms": terms,
            "step": step,
            "sites": list(sites),
            "dropped": list(dropped),
            "refused": dict(refused),
        }
        return fed.coordinator("masking-step", body)

    return say


@pytest.fixture
def closes(fed):
    def close(sites_in, out=()):
        return fed.close(1, sites_in=sites_in, out=dict(out))

    return close


def whole(says, *, summed=ALL, signed=ALL, dropped=()):
    says("keys", ALL)
    says("shares", ALL)
    says("masked", summed)
    says("signed", signed, dropped=dropped)
    says("opened", signed)


def test_a_whole_sum_is_verified(verdict, says, closes):
    whole(says)
    closes(ALL)
    assert verdict().fault is None


def test_a_sum_that_one_dropped_out_of_and_one_lied_in_is_verified(verdict, says, closes):
    whole(says, summed=REST, signed=REST, dropped=[LAST])
    says("unmasked", REST, refused={REST[0]: "secagg-r12"})
    closes(REST, {LAST: "late"})
    assert verdict().fault is None


@pytest.mark.parametrize("step", ["shares", "opened", "unmasked"])
def test_a_step_that_was_left_out_is_named(finds, says, step):
    finds(says(step, ALL), "mask-step")


def test_a_step_that_is_taken_again_is_named(finds, says):
    says("keys", ALL)
    finds(says("keys", ALL), "mask-step")


def test_a_second_sum_of_the_same_attempt_is_named(finds, says):
    whole(says)
    finds(says("keys", ALL), "mask-step")


def test_other_terms_in_the_midst_of_a_sum_are_named(finds, says):
    says("keys", ALL)
    seq = says("shares", ALL, terms=hashlib.sha256(b"others").hexdigest())
    finds(seq, "mask-step")


def test_a_sum_of_figures_beside_that_of_updates_is_one_of_its_own(verdict, says):
    whole(says)
    says("keys", ALL, purpose="evaluate", terms=hashlib.sha256(b"figures").hexdigest())
    assert verdict().fault is None


def test_a_site_that_took_no_step_before_is_named(finds, says):
    says("keys", REST)
    finds(says("shares", ALL), "mask-sites")


def test_a_sum_of_fewer_than_the_threshold_is_named(finds, says):
    says("keys", ALL)
    says("shares", ALL)
    assert "too few" in finds(says("masked", ALL[:2]), "mask-sites")


def test_the_key_of_a_site_in_the_sum_is_named(finds, says):
    says("keys", ALL)
    says("shares", ALL)
    says("masked", ALL)
    finds(says("signed", REST, dropped=[LAST]), "mask-dropped")


def test_a_site_that_dropped_out_and_is_not_said_to_is_named(finds, says):
    says("keys", ALL)
    says("shares", ALL)
    says("masked", REST)
    finds(says("signed", REST), "mask-dropped")


def test_a_site_that_was_never_asked_is_not_even_taken_in(says):
    with pytest.raises(Refused) as caught:
        says("keys", [*ALL, "sybil"])
    assert caught.value.rule == "not-asked"


def test_a_round_that_counts_others_than_its_sum_is_named(finds, says, closes):
    whole(says, summed=REST, signed=REST, dropped=[LAST])
    finds(closes(ALL), "mask-sites")


def test_a_round_that_closes_before_its_sum_was_opened_is_named(finds, says, closes):
    says("keys", ALL)
    says("shares", ALL)
    finds(closes(ALL), "mask-sites")


def test_a_round_of_masked_updates_without_a_step_of_their_sum_is_named(finds, closes):
    finds(closes(ALL), "mask-step")
