"""What the ledger may say of a masked sum; whatever else the coordinator signs is named."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from histories import SITES, History, beginning
from sqlalchemy import select
from verdicts import found

from governance import statements
from governance.ledger import query_masks, query_rounds, source, store
from governance.ledger.schema import evaluations
from governance.ledger.verify import verify
from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release
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


def test_masked_updates_of_different_sizes_are_no_one_sum_s(
    authorities, first_issuing, tmp_path
):
    with beginning(tmp_path / "ledger.db", authorities, first_issuing) as federation:
        history = History(federation)
        history.begin()
        history.open(1)
        for site in SITES:
            of = hashlib.sha256(site.encode()).hexdigest()
            history.train(site, 1, of=of, size=4242 if site == LAST else 4096)
        for step in ("keys", "shares", "masked", "signed", "opened"):
            body = {**federation.at(1), "purpose": "train", "terms": TERMS, "step": step}
            body |= {"sites": ALL, "dropped": [], "refused": {}}
            federation.coordinator("masking-step", body)
        seq = federation.close(1, sites_in=ALL, out={})
        found(verify(source.Database(federation.connection)), seq, "mask-size")


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


def test_the_rule_that_ended_an_attempt_is_told_with_who_broke_it(verdict, fed, says):
    whole(says)
    why = {"reason": "gate", "rule": "secagg-r12", "refused": {LAST: "secagg-r12"}}
    seq = fed.abandon(1, sites=ALL, **why)
    assert verdict().fault is None
    said = f"gate (secagg-r12: {LAST})"
    notes = query_masks.masks_of(fed.connection, 1).notes
    assert f"Attempt 1 was abandoned: {said} (entry {seq})." in notes
    assert any(said in note for note in query_rounds.one_round(fed.connection, 1).notes)


# --- figures of quality --------------------------------------------------------------------

FIGURES = hashlib.sha256(b"figures").hexdigest()
CANDIDATE = hashlib.sha256(b"m1").hexdigest()
COST = format_epsilon(epsilon([Release(0.1, 1.1, 5), Release(1.0, 9.0, 1)], 1e-5))


class Figures:
    """A sum of figures of round 1's candidate, step by step, after that of its updates."""

    def __init__(self, fed, says):
        self.fed, self.says = fed, says

    def begin(self, sites=ALL, **changes):
        whole(self.says)
        return self.opens(sites, **changes)

    def opens(self, sites=ALL, model=CANDIDATE):
        body = {**self.fed.at(1), "model": model, "sites": list(sites)}
        return self.fed.coordinator("evaluation-opened", body)

    def step(self, step, sites=ALL, **more):
        return self.says(step, sites, terms=FIGURES, purpose="evaluate", **more)

    def states(self, site, *, model=CANDIDATE, cost=COST, **more):
        if not more.pop("paid", False):
            self.fed.agent(site, "budget-reserved", self.fed.metrics_body(1, total=COST))
        said = {"masked": hashlib.sha256(site.encode()).hexdigest(), "epsilon": cost}
        body = {**self.fed.at(1), "model": model, "mechanism": "gaussian", **said, **more}
        return self.fed.agent(site, "evaluation-made", body)

    def all_steps(self, summed=ALL):
        self.step("keys")
        self.step("shares")
        for site in summed:
            self.states(site)
        self.step("masked", summed)
        self.step("signed", summed, dropped=[site for site in ALL if site not in summed])
        self.step("opened", summed)

    def sums(self, sites=ALL, model=CANDIDATE):
        told = statements.disclose("figures", "{}", salt=bytes(32))
        body = {**self.fed.at(1), "model": model, "sites": list(sites)}
        return self.fed.coordinator("evaluation-summed", body, told=(told,))

    def misses(self, model=CANDIDATE):
        body = {**self.fed.at(1), "model": model, "reason": "too-few-sites"}
        return self.fed.coordinator("evaluation-missing", body)


@pytest.fixture
def figures(fed, says):
    return Figures(fed, says)


def test_a_sum_of_figures_after_that_of_updates_is_verified(fed, verdict, figures, closes):
    figures.begin()
    figures.all_steps()
    figures.sums()
    closes(ALL)
    assert verdict().fault is None
    asked = select(evaluations.c.site).order_by(evaluations.c.seq)
    assert fed.connection.execute(asked).scalars().all() == ALL


def test_a_sum_of_figures_that_one_dropped_out_of_is_verified(verdict, figures, closes):
    figures.begin()
    figures.all_steps(summed=REST)
    figures.sums(REST)
    closes(ALL)
    assert verdict().fault is None


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "never begun"])
def test_a_sum_of_figures_that_is_said_to_be_missing_is_verified(
    verdict, says, figures, closes, begun
):
    whole(says)
    if begun:
        figures.opens()
        figures.step("keys")
    figures.misses()
    closes(ALL)
    assert verdict().fault is None


def test_figures_that_are_asked_for_before_the_updates_sum_are_named(finds, figures):
    finds(figures.opens(), "mask-step")


def test_figures_that_are_summed_twice_are_not_even_taken_in(figures):
    figures.begin()
    with pytest.raises(Refused) as caught:
        figures.opens()
    assert caught.value.rule == "second-evaluation"


def test_figures_of_too_few_are_named(finds, figures):
    finds(figures.begin(ALL[:2]), "mask-sites")


def test_a_step_of_figures_by_who_was_not_asked_is_not_even_taken_in(figures):
    figures.begin(REST)
    with pytest.raises(Refused) as caught:
        figures.step("keys")
    assert caught.value.rule == "not-asked"


def test_masked_figures_out_of_their_turn_are_named(finds, figures):
    figures.begin()
    figures.step("keys")
    finds(figures.states(LAST), "mask-step")


def test_figures_without_masks_where_they_are_summed_are_named(fed, finds, figures):
    figures.begin()
    figures.step("keys")
    figures.step("shares")
    fed.agent(LAST, "budget-reserved", fed.metrics_body(1, total=COST))
    body = {**fed.at(1), "model": CANDIDATE, "mechanism": "gaussian"}
    finds(fed.agent(LAST, "evaluation-made", body), "mask-step")


def test_masked_figures_of_another_model_are_named(finds, figures):
    figures.begin()
    figures.step("keys")
    figures.step("shares")
    finds(figures.states(LAST, model=FIGURES), "other-model")


def test_masked_figures_that_nobody_paid_for_are_not_even_taken_in(figures):
    figures.begin()
    with pytest.raises(Refused) as caught:
        figures.states(LAST, paid=True)
    assert caught.value.rule == "no-reservation"


def test_masked_figures_that_state_less_epsilon_are_named(finds, figures):
    figures.begin()
    figures.step("keys")
    figures.step("shares")
    finds(figures.states(LAST, cost="0.1"), "epsilon-understated")


def test_a_sum_of_figures_that_was_not_opened_on_record_is_named(finds, figures):
    figures.begin()
    figures.step("keys")
    figures.step("shares")
    finds(figures.sums(), "mask-step")


def test_a_sum_of_figures_with_one_who_stated_none_is_named(finds, figures):
    figures.begin()
    figures.step("keys")
    figures.step("shares")
    for site in REST:
        figures.states(site)
    figures.step("masked")
    figures.step("signed")
    figures.step("opened")
    finds(figures.sums(), "mask-sites")


def test_a_sum_of_figures_of_others_than_are_in_it_is_named(finds, figures):
    figures.begin()
    figures.all_steps(summed=REST)
    finds(figures.sums(ALL), "mask-sites")


def test_a_step_after_the_figures_were_said_to_be_missing_is_named(finds, figures):
    figures.begin()
    figures.step("keys")
    figures.misses()
    finds(figures.step("shares"), "mask-step")


def test_a_round_that_hides_what_its_figures_came_to_is_named(finds, figures, closes):
    figures.begin()
    figures.all_steps()
    finds(closes(ALL), "mask-step")


def test_a_round_that_commits_another_model_than_was_judged_is_named(finds, figures, closes):
    figures.begin(model=FIGURES)
    figures.misses(model=FIGURES)
    finds(closes(ALL), "other-model")


def test_a_rejection_of_another_model_than_was_judged_is_named(fed, finds, figures):
    figures.begin()
    figures.misses()
    told = statements.disclose("figures", "{}", salt=bytes(32))
    body = {**fed.at(1), "model": FIGURES, "refusal": "worse"}
    finds(fed.coordinator("candidate-rejected", body, told=(told,)), "other-model")
