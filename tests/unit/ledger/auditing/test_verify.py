"""A clean history has no fault, and is proven only to who trusts its keys."""

from __future__ import annotations

import json

import pytest
from verdicts import checkpoints_of, found, trusted

from governance.ledger.signatures import Signatures
from governance.ledger.verify import CONSISTENT, PROVEN


@pytest.mark.parametrize("signatures", list(Signatures))
def test_an_untouched_history_is_clean(ledger, signatures):
    verdict = ledger.verdict(signatures=signatures)
    assert verdict.fault is None
    assert verdict.verified
    assert verdict.entries == len(ledger.entries())
    assert (verdict.checkpoint_size, verdict.witnessed) == (verdict.entries - 2,) * 2
    assert verdict.cosignatures == 3


def test_a_clean_history_without_trusted_keys_is_consistent_and_not_proven(ledger):
    verdict = ledger.verdict()
    assert not verdict.proven
    assert verdict.sentence == CONSISTENT


def test_a_clean_history_with_the_hospitals_keys_is_proven(ledger, keys):
    verdict = ledger.verdict(trusted=trusted(keys))
    assert verdict.proven
    assert verdict.sentence == PROVEN


def test_a_history_of_which_not_all_signatures_were_checked_is_not_proven(ledger, keys):
    verdict = ledger.verdict(trusted=trusted(keys), signatures=Signatures.SITE)
    assert verdict.verified
    assert not verdict.proven


def test_a_history_that_few_sites_witnessed_is_not_proven(ledger, keys):
    ledger.run(("DELETE FROM cosignatures WHERE site <> 'amc'",))
    verdict = ledger.verdict(trusted=trusted(keys))
    assert verdict.verified
    assert not verdict.proven
    assert "more than half" in verdict.unproven


def test_a_clean_history_extends_each_checkpoint_that_was_kept(ledger):
    for head in checkpoints_of(ledger):
        assert ledger.verdict(against=head).verified


def test_the_verdict_says_all_in_json(ledger):
    said = ledger.verdict().to_json()
    assert json.loads(json.dumps(said)) == said
    assert said["verified"] is True
    assert said["proven"] is False
    assert said["fault"] is None


# --- trust -------------------------------------------------------------------------------


def test_hospitals_that_were_invented_are_named(ledger, keys):
    verdict = ledger.verdict(trusted=trusted(keys, ("amc", "ucl", "usz")))
    seq = ledger.seq_of("enrolled", actor="site/kul")
    assert "invented" in found(verdict, seq, "untrusted-key")


def test_a_hospital_enrolled_with_another_officers_key_is_named(ledger, keys):
    given = trusted(keys) | {"ucl": frozenset({keys.key("true ucl officer").key_id})}
    seq = ledger.seq_of("enrolled", actor="site/ucl")
    assert "ucl" in found(ledger.verdict(trusted=given), seq, "untrusted-key")


def test_the_old_agent_key_alone_vouches_for_no_new_one(ledger, keys):
    # The file names amc's agent key too, as `concilium-site key` prints it, and that changes
    # nothing: the officer's word is what counts.
    given = trusted(keys)
    given["amc"] |= {keys.key("amc agent").key_id}
    assert ledger.verdict(trusted=given).proven


def test_a_log_founded_by_another_coordinator_is_named(ledger, keys):
    given = trusted(keys) | {"coordinator": frozenset({keys.key("amc agent").key_id})}
    found(ledger.verdict(trusted=given), 0, "untrusted-key")
