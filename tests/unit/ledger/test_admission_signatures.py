"""Every signature that a statement needs is there and good, and none rides along."""

from __future__ import annotations

import base64
import json

import pytest
from admission import OFFICER, SOFTWARE

from governance import statements
from governance.ledger import store

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
    stranger = federation.key("amc officer")
    for others in ((), (one,), (federation.key("ki agent"),), (stranger,)):
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
