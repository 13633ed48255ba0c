"""A hospital's word that its store was lost takes no less as spent than its log says."""

from __future__ import annotations

import pytest

from governance.ledger import source
from governance.ledger.verify import verify
from protos.errors import Refused

DELTA = "0.00001"


def body(size, epsilon, *, cohort="infarction", tasks=0):
    spent = {cohort: {"delta": DELTA, "epsilon": epsilon}} if cohort else {}
    return {"review": "00" * 32, "size": size, "spent": spent, "tasks": tasks}


def recover(fed, epsilon, **more):
    return fed.officer("amc", "store-recovered", body(3, epsilon, **more))


@pytest.fixture
def training(agreed):
    agreed.open_round(1)
    agreed.reserve("amc", 1, total="3.0000")
    return agreed


def fault_of(fed):
    verdict = verify(source.Database(fed.connection))
    return "" if verdict.verified else verdict.sentence


def test_what_is_no_less_than_the_reservations_is_taken(training):
    recover(training, "3.0000", tasks=1)
    assert fault_of(training) == ""


@pytest.mark.parametrize(("epsilon", "cohort"), [("0.0100", "infarction"), ("9.0000", "other")])
def test_what_is_less_than_the_reservations_is_found(training, epsilon, cohort):
    recover(training, epsilon, cohort=cohort)
    assert "less ε as spent than its reservations come to" in fault_of(training)


def test_a_later_reservation_that_forgets_what_was_recovered_is_found(training):
    recover(training, "3.0000")
    training.abandon(1)
    training.open_round(1, 2)
    training.reserve("amc", 1, 2, total="2.0000")
    assert "less ε than its reservations come to" in fault_of(training)


def test_entries_that_nobody_has_cannot_have_been_read(training):
    with pytest.raises(Refused) as refused:
        training.officer("amc", "store-recovered", body(999, "1.0000"))
    assert refused.value.rule == "recovery-misstated"


def test_the_agents_key_alone_cannot_say_it(training):
    with pytest.raises(Refused) as refused:
        training.agent("amc", "store-recovered", body(3, "1.0000"))
    assert refused.value.rule == "wrong-signer"
