"""What enters the log, and the attacks that do not."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from governance import statements
from governance.identity import certificate
from governance.identity.keys import SigningKey
from governance.ledger import schema, store
from governance.statements import Chain, Log
from protos.errors import PeerFault, Refused

SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}


OFFICER = (
    statements.disclose("officer", "A", salt=bytes(32)),
    statements.disclose("role", "B", salt=bytes(32)),
)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def content(c):
    """Return every row of every table."""
    return {t.name: c.execute(select(t)).all() for t in schema.metadata.sorted_tables}


@pytest.fixture
def refuses(federation):
    """Assert that something is refused by a rule and leaves every table as it was."""

    def check(rule, act, *args, **more):
        before = content(federation.connection)
        with pytest.raises((Refused, PeerFault)) as refused:
            act(*args, **more)
        assert refused.value.rule == rule
        assert content(federation.connection) == before

    return check


# --- 1. the log ---------------------------------------------------------------------------


def test_a_statement_to_another_federation_or_root_is_refused(federation, refuses):
    other = [Log.of("lung", federation.log.root), Log.of("heart", digest("another root"))]
    for log in other:
        refuses("wrong-log", federation.agent, "amc", "software-started", SOFTWARE, log=log)


# --- 2. the form --------------------------------------------------------------------------


def test_unknown_kinds_and_fields_are_refused(federation, refuses):
    refuses("unknown-kind", federation.agent, "amc", "software-stopped", SOFTWARE)
    refuses("bad-body", federation.agent, "amc", "software-started", SOFTWARE | {"why": "x"})
    refuses("bad-body", federation.agent, "amc", "software-started", {"program": "x"})


# --- 3. the date --------------------------------------------------------------------------


def test_a_statement_dated_ahead_is_refused_and_an_old_one_is_not(federation, refuses):
    ahead = federation.now + timedelta(minutes=5, seconds=2)
    refuses("dated-ahead", federation.agent, "amc", "software-started", SOFTWARE, at=ahead)
    federation.agent("amc", "software-started", SOFTWARE, at=ahead - timedelta(seconds=1))
    federation.agent(
        "amc", "software-started", SOFTWARE, at=federation.now - timedelta(days=30)
    )


def test_time_never_goes_back(federation):
    c = federation.connection
    latest = list(store.entries(c, 0, 99))[-1].received_at
    federation.now -= timedelta(hours=1)
    seq = federation.agent("amc", "software-started", SOFTWARE)
    assert next(store.entries(c, seq, seq + 1)).received_at == latest


def test_ahead_is_measured_by_the_time_that_is_recorded(federation):
    at = federation.now + timedelta(minutes=4)
    statement = federation.statement(
        "software-started", SOFTWARE, "site/amc", federation.key("amc agent"), at=at
    )
    store.append(
        federation.connection, statement, received_at=federation.now - timedelta(hours=1)
    )


# --- 4. the chain -------------------------------------------------------------------------


def test_the_same_statement_twice_is_one_entry(federation):
    key = federation.key("amc agent")
    statement = federation.statement("software-started", SOFTWARE, "site/amc", key)
    seq = federation.append(statement)
    federation.agent("amc", "software-started", SOFTWARE)
    before = content(federation.connection)
    assert federation.append(statement) == seq
    assert content(federation.connection) == before


def test_the_founding_twice_is_one_entry(new):
    new.found()
    genesis = statements.read(next(store.entries(new.connection, 0, 1)).envelope)
    assert new.append(genesis) == 0


@pytest.mark.parametrize("counter", [0, 2, 7])
def test_a_counter_that_is_not_the_next_is_refused(federation, refuses, counter):
    here = store.chain_of(federation.connection, federation.key("amc agent").key_id)
    chain = Chain(counter, here.previous)
    refuses("broken-chain", federation.agent, "amc", "software-started", SOFTWARE, chain=chain)


def test_another_history_of_the_same_key_is_refused(federation, refuses):
    here = store.chain_of(federation.connection, federation.key("amc agent").key_id)
    chain = Chain(here.counter, digest("another statement"))
    refuses("broken-chain", federation.agent, "amc", "software-started", SOFTWARE, chain=chain)


def test_each_key_has_a_chain_of_its_own(agreed):
    c = agreed.connection
    agent = store.chain_of(c, agreed.key("amc agent").key_id)
    officer = store.chain_of(c, agreed.key("amc officer").key_id)
    assert (agent.counter, officer.counter) == (1, 1)
    assert store.chain_of(c, agreed.key("nobody").key_id) == Chain.START


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


# --- 8. every signature -------------------------------------------------------------------


def resigned(statement, change):
    """Return a statement whose signatures were changed by hand."""
    outer = json.loads(statement.envelope)
    outer["signatures"] = change(outer["signatures"])
    return statements.read(json.dumps(outer, sort_keys=True, separators=(",", ":")).encode())


def test_a_bad_signature_is_refused(federation, refuses):
    key = federation.key("amc agent")
    statement = federation.statement("software-started", SOFTWARE, "site/amc", key)

    def flip(signatures):
        blob = bytearray(base64.b64decode(signatures[0]["sig"]))
        blob[5] ^= 1
        return [signatures[0] | {"sig": base64.b64encode(bytes(blob)).decode()}]

    refuses("bad-signature", federation.append, resigned(statement, flip))


def test_a_signature_by_nobody_known_does_not_ride_along(federation, refuses):
    signers = (federation.key("amc agent"), federation.key("stranger"))
    refuses(
        "key-not-enrolled", federation.say, "software-started", SOFTWARE, "site/amc", *signers
    )


def test_a_bad_signature_of_a_second_approver_is_refused(federation, refuses):
    federation.enrol("operator", "boss")
    body = {"act": "release", "round": 1}
    statement = federation.statement(
        "operator-acted", body, "operator/ops", federation.key("ops"), federation.key("boss")
    )
    boss = federation.key("boss").key_id

    def forge(signatures):
        other = next(one["sig"] for one in signatures if one["keyid"] != boss)
        return [one | {"sig": other} if one["keyid"] == boss else one for one in signatures]

    refuses("bad-signature", federation.append, resigned(statement, forge))
    federation.append(statement)


def test_a_changed_payload_is_refused(federation, refuses):
    key = federation.key("amc agent")
    statement = federation.statement("software-started", SOFTWARE, "site/amc", key)
    payload = statement.payload.replace(b"0.1.0", b"6.6.6")
    outer = json.loads(statement.envelope)
    outer["payload"] = base64.b64encode(payload).decode()
    forged = statements.read(json.dumps(outer, sort_keys=True, separators=(",", ":")).encode())
    refuses("bad-signature", federation.append, forged)


# --- 9. who signs beside ------------------------------------------------------------------


def test_a_newcomer_needs_every_officer_and_the_authority(federation, refuses):
    body = federation.enrol_body("site", "ki", ["ki officer", "ki dean"], 2)
    agent, officer, dean = (federation.key(f"ki {who}") for who in ("agent", "officer", "dean"))
    everybody = (agent, officer, dean, federation.authority)
    for missing in everybody[1:]:
        signers = [one for one in everybody if one.key_id != missing.key_id]
        refuses("not-vouched", federation.say, "enrolled", body, "site/ki", *signers)
    federation.say("enrolled", body, "site/ki", *everybody)


@pytest.mark.parametrize(
    ("role", "officers", "needed"),
    [("site", [], 0), ("site", ["a"], 0), ("site", ["a"], 2), ("operator", ["a"], 1)],
)
def test_officers_are_a_sites_and_as_many_as_there_are(
    federation, refuses, role, officers, needed
):
    body = federation.enrol_body(role, "ki", officers, needed)
    agent = federation.key("ki agent" if role == "site" else "ki")
    signers = [agent, *(federation.key(one) for one in officers), federation.authority]
    refuses("bad-officers", federation.say, "enrolled", body, f"{role}/ki", *signers)


def test_an_enrolment_names_its_own_role_and_key(federation, refuses):
    body = federation.enrol_body("operator", "eve")
    signers = (federation.key("eve"), federation.authority)
    refuses("not-yours", federation.say, "enrolled", body, "operator/adam", *signers)
    refuses("not-yours", federation.say, "enrolled", body, "auditor/eve", *signers)
    other = body | {"agent": federation.key("adam").key_id}
    refuses("key-not-enrolled", federation.say, "enrolled", other, "operator/eve", *signers)


def test_names_and_keys_are_taken_for_ever(federation, refuses):
    refuses("name-taken", federation.enrol, "auditor", "amc")
    refuses("name-taken", federation.enrol, "operator", "coordinator")
    body = federation.enrol_body("auditor", "eve") | {"agent": federation.key("ops").key_id}
    refuses(
        "key-taken",
        federation.say,
        "enrolled",
        body,
        "auditor/eve",
        federation.key("ops"),
        federation.authority,
        chain=store.chain_of(federation.connection, federation.key("ops").key_id),
    )


def test_as_many_officers_consent_as_the_enrolment_says(federation, refuses):
    federation.enrol_site("ki", ["ki officer", "ki dean"], 2)
    federation.propose("first")
    told = OFFICER
    body = federation.consent_body("first")
    one, two = federation.key("ki officer"), federation.key("ki dean")
    for others in ((), (federation.key("ki agent"),), (federation.key("amc officer"),)):
        refuses(
            "officer-needed",
            federation.say,
            "consent-given",
            body,
            "site/ki",
            one,
            *others,
            told=told,
        )
    federation.say("consent-given", body, "site/ki", two, one, told=told)
    paused = {"agreement": body["agreement"]}
    federation.say("consent-suspended", paused, "site/ki", one)
    resumed = paused | {"material": body["material"]}
    refuses("officer-needed", federation.say, "consent-resumed", resumed, "site/ki", one)
    federation.say("consent-resumed", resumed, "site/ki", one, two)
    federation.say("consent-withdrawn", paused, "site/ki", two)


# --- rotation -----------------------------------------------------------------------------


def rotation(federation, usage, old, new, name="amc"):
    return {
        "name": name,
        "usage": usage,
        "old": federation.key(old).key_id,
        "new": federation.key(new).key_id,
    }


def test_the_old_key_is_refused_after_its_rotation(federation, refuses):
    keys = [federation.key(name) for name in ("amc agent", "amc agent 2", "amc officer")]
    body = rotation(federation, "agent", "amc agent", "amc agent 2")
    federation.say("key-rotated", body, "site/amc", *keys)
    refuses("key-replaced", federation.agent, "amc", "software-started", SOFTWARE)
    federation.say("software-started", SOFTWARE, "site/amc", keys[1])
    rows = federation.connection.execute(
        select(schema.keys.c.key_id, schema.keys.c.from_seq, schema.keys.c.until_seq).where(
            schema.keys.c.name == "amc", schema.keys.c.usage == "agent"
        )
    ).all()
    seq = store.size_of(federation.connection) - 2
    assert rows == [(keys[0].key_id, 2, seq), (keys[1].key_id, seq, None)]


def test_a_stolen_agent_key_cannot_name_its_successor(federation, refuses):
    keys = [federation.key(name) for name in ("amc agent", "amc agent 2", "amc officer")]
    body = rotation(federation, "agent", "amc agent", "amc agent 2")
    refuses("officer-needed", federation.say, "key-rotated", body, "site/amc", *keys[:2])
    refuses("not-vouched", federation.say, "key-rotated", body, "site/amc", keys[0], keys[2])


def test_an_officer_key_is_rotated_by_itself_alone(federation, refuses):
    body = rotation(federation, "officer", "amc officer", "amc dean")
    old, new, agent = (federation.key(f"amc {who}") for who in ("officer", "dean", "agent"))
    refuses("wrong-key", federation.say, "key-rotated", body, "site/amc", agent, old, new)
    federation.say("key-rotated", body, "site/amc", old, new)
    federation.propose("first")
    federation.keys["amc officer"] = new
    federation.consent("amc", "first")


def test_a_rotation_is_to_a_new_key_of_the_same_name_and_usage(federation, refuses):
    old = federation.key("amc officer")
    taken = rotation(federation, "officer", "amc officer", "ucl officer")
    refuses(
        "key-taken",
        federation.say,
        "key-rotated",
        taken,
        "site/amc",
        old,
        federation.key("ucl officer"),
    )
    other = rotation(federation, "officer", "amc officer", "new", name="ucl")
    new = federation.key("new")
    refuses("wrong-key", federation.say, "key-rotated", other, "site/amc", old, new)
    usage = rotation(federation, "agent", "amc officer", "new")
    refuses("wrong-key", federation.say, "key-rotated", usage, "site/amc", old, new)


def test_a_new_issuing_authority_is_believed_by_its_certificate(federation, refuses):
    key, pem = federation.authorities.issue()
    body = {
        "name": "authority",
        "usage": "authority",
        "old": federation.authority.key_id,
        "new": key.key_id,
        "issuing": pem,
    }
    ledger = federation.key("ledger")
    stranger, other = type(federation.authorities)("heart").issue()
    forged = body | {"issuing": other, "new": stranger.key_id}
    refuses(
        "wrong-root", federation.say, "key-rotated", forged, "coordinator", ledger, stranger
    )
    swapped = body | {"new": stranger.key_id}
    refuses(
        "bad-signature", federation.say, "key-rotated", swapped, "coordinator", ledger, stranger
    )
    refuses("not-vouched", federation.say, "key-rotated", body, "coordinator", ledger)
    amc = federation.key("amc agent")
    refuses("wrong-signer", federation.say, "key-rotated", body, "site/amc", amc, key)
    bare = {name: body[name] for name in body if name != "issuing"}
    refuses("bad-body", federation.say, "key-rotated", bare, "coordinator", ledger, key)
    federation.say("key-rotated", body, "coordinator", ledger, key)
    refuses("key-replaced", federation.certify, "amc", "site", "1f")
    federation.authority = key
    federation.certify("amc", "site", "1f")
    federation.enrol_site("ki")


def test_no_site_brings_a_certificate_with_its_key(federation, refuses):
    body = rotation(federation, "agent", "amc agent", "amc agent 2")
    keys = [federation.key(name) for name in ("amc agent", "amc agent 2", "amc officer")]
    body |= {"issuing": federation.issuing_pem}
    refuses("bad-body", federation.say, "key-rotated", body, "site/amc", *keys)


# --- certificates and disclosures ---------------------------------------------------------


def test_certificates_are_of_members_in_their_role_and_serials_are_new(federation, refuses):
    federation.certify("coordinator", "coordinator", "1")
    federation.certify("amc", "site", "2")
    refuses("serial-taken", federation.certify, "ucl", "site", "2")
    refuses("not-enrolled", federation.certify, "amc", "operator", "3")
    refuses("not-enrolled", federation.certify, "nobody", "site", "3")


def test_what_is_disclosed_is_what_the_entry_commits_to(federation, refuses):
    told = statements.disclose("reason", "because", salt=bytes(32))
    body = {"name": "amc", "serials": []}
    statement = federation.statement(
        "revoked", body, "operator/ops", federation.key("ops"), told=(told,)
    )
    for wrong in (
        dataclasses.replace(told, value="another"),
        dataclasses.replace(told, salt=bytes(31) + b"1"),
        dataclasses.replace(told, label="because"),
    ):
        refuses("disclosure-mismatch", federation.append, statement, (wrong,))
    seq = federation.append(statement, (told,))
    (record,) = store.entries(federation.connection, seq, seq + 1, disclosed=True)
    assert record.disclosures == (told,)
    (record,) = store.entries(federation.connection, seq, seq + 1)
    assert record.disclosures == ()


def test_an_entry_may_come_without_what_it_commits_to(federation):
    told = statements.disclose("reason", "because", salt=bytes(32))
    key = federation.key("ops")
    body = {"name": "amc", "serials": []}
    federation.append(federation.statement("revoked", body, "operator/ops", key, told=(told,)))


def test_the_root_in_the_log_is_the_one_of_every_statement(federation):
    genesis = statements.read(next(store.entries(federation.connection, 0, 1)).envelope)
    root = certificate.read_chain(genesis.body["origin_root"].encode())[0]
    assert certificate.fingerprint(root) == genesis.log.root
