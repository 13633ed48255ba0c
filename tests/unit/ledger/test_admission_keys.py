"""Whose keys may speak in the log, in whose name and of what."""

from __future__ import annotations

import pytest
from admission import OFFICER, SOFTWARE, digest

from governance import statements
from governance.identity.keys import SigningKey
from governance.ledger import store
from protos.errors import Refused

# --- 5. and 6. the keys -------------------------------------------------------------------


def test_a_log_begins_with_its_founding(new):
    with pytest.raises(Refused) as refused:
        new.enrol_site("amc")
    assert refused.value.rule == "no-genesis"
    assert store.size_of(new.connection) == 0


def test_a_log_is_not_founded_under_another_root(new, authorities, first_issuing):
    stranger = type(authorities)("heart")
    body = new.genesis_body() | {"origin_root": stranger.root_pem}
    with pytest.raises(Refused) as refused:
        new.say("enrolled", body, "coordinator", new.key("ledger"), new.authority)
    assert refused.value.rule == "wrong-root"


def test_a_log_is_not_founded_by_an_authority_that_its_root_did_not_sign(new, authorities):
    key, pem = type(authorities)("heart").issue()
    body = new.genesis_body() | {"issuing": pem}
    with pytest.raises(Refused) as refused:
        new.say("enrolled", body, "coordinator", new.key("ledger"), key)
    assert refused.value.rule == "wrong-root"


def test_the_roots_own_certificate_is_no_issuing_authority_of_another(new, authorities):
    body = new.genesis_body() | {"issuing": "-----BEGIN CERTIFICATE-----\nx"}
    with pytest.raises(Refused) as refused:
        new.say("enrolled", body, "coordinator", new.key("ledger"), new.authority)
    assert refused.value.rule == "wrong-root"


def test_the_founding_is_signed_by_ledger_key_and_authority(new):
    for signers in ((new.key("ledger"),), (new.key("ledger"), new.key("somebody"))):
        with pytest.raises(Refused) as refused:
            new.say("enrolled", new.genesis_body(), "coordinator", *signers)
        assert refused.value.rule in {"not-vouched", "key-not-enrolled"}


def test_a_second_founding_is_refused(federation, refuses):
    signers = (federation.key("other ledger"), federation.authority)
    body = federation.genesis_body() | {"agent": federation.key("other ledger").key_id}
    refuses("second-founding", federation.say, "enrolled", body, "coordinator", *signers)


def test_an_unknown_key_is_refused(federation, refuses):
    stranger = federation.key("stranger")
    refuses(
        "key-not-enrolled",
        federation.say,
        "software-started",
        SOFTWARE,
        "site/amc",
        stranger,
    )


def test_all_keys_of_a_revoked_name_are_refused(agreed, refuses):
    agreed.operator("revoked", {"name": "amc", "serials": []})
    refuses("revoked", agreed.agent, "amc", "software-started", SOFTWARE)
    first = {"agreement": agreed.at(1)["agreement"]}
    refuses("revoked", agreed.officer, "amc", "consent-withdrawn", first)
    refuses("not-enrolled", agreed.certify, "amc", "site", "1f")
    agreed.agent("ucl", "software-started", SOFTWARE)


def test_a_revocation_that_was_rolled_back_revoked_nobody(agreed, refuses):
    agreed.agent("amc", "software-started", SOFTWARE)
    point = agreed.connection.begin_nested()
    agreed.operator("revoked", {"name": "amc", "serials": []})
    refuses("revoked", agreed.agent, "amc", "software-started", SOFTWARE)
    point.rollback()
    agreed.agent("amc", "software-started", SOFTWARE)


def test_a_revoked_name_does_not_come_back(federation, refuses):
    federation.operator("revoked", {"name": "amc", "serials": []})
    refuses("key-taken", federation.enrol_site, "amc")
    federation.keys.pop("amc agent"), federation.keys.pop("amc officer")
    federation.keys |= {
        "amc agent": SigningKey.from_seed(b"1" * 32),
        "amc officer": SigningKey.from_seed(b"2" * 32),
    }
    refuses("name-taken", federation.enrol_site, "amc")


def test_revoking_is_for_members_and_once(federation, refuses):
    body = {"name": "amc", "serials": ["1f"]}
    told = (statements.disclose("reason", "left", salt=bytes(32)),)
    federation.operator("revoked", body, told=told)
    refuses("already-revoked", federation.operator, "revoked", body)
    refuses("not-enrolled", federation.operator, "revoked", body | {"name": "nobody"})
    refuses("wrong-name", federation.operator, "revoked", body | {"name": "coordinator"})
    refuses("wrong-name", federation.operator, "revoked", body | {"name": "authority"})


# --- 7. the speaker -----------------------------------------------------------------------


def test_one_hospital_never_speaks_for_another(federation, refuses):
    ucl = federation.key("ucl agent")
    refuses("not-yours", federation.say, "software-started", SOFTWARE, "site/amc", ucl)
    refuses("not-yours", federation.say, "software-started", SOFTWARE, "coordinator", ucl)


def test_an_agent_never_consents_in_its_officers_name(federation, refuses):
    federation.propose("first")
    told = OFFICER
    body = federation.consent_body("first")
    refuses("wrong-signer", federation.agent, "amc", "consent-given", body, told=told)


def test_the_coordinator_never_consents_withdraws_or_contributes(agreed, refuses):
    agreed.open_round(1)
    told = OFFICER
    first = {"agreement": agreed.at(1)["agreement"]}
    refuses(
        "wrong-signer",
        agreed.coordinator,
        "consent-given",
        agreed.consent_body("first"),
        told=told,
    )
    refuses("wrong-signer", agreed.coordinator, "consent-withdrawn", first)
    refuses("wrong-signer", agreed.coordinator, "budget-reserved", agreed.reserve_body(1))
    body = agreed.contribution_body("amc", 1)
    refuses("wrong-signer", agreed.coordinator, "contribution-made", body)


def test_operators_and_sites_do_not_write_the_coordinators_part(agreed, refuses):
    body = {
        **agreed.at(1),
        "model": digest("m"),
        "state": "",
        "sites": ["amc"],
        "deadline": statements.timestamp(agreed.now),
    }
    refuses("wrong-signer", agreed.operator, "round-opened", body)
    refuses("wrong-signer", agreed.agent, "amc", "round-opened", body)
