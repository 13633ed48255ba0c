"""A key is replaced only by those who may: its owner, its officer, its root."""

from __future__ import annotations

from admission import SOFTWARE
from sqlalchemy import select

from governance.ledger import schema, store


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
    held = schema.keys.c
    rows = federation.connection.execute(
        select(held.key_id, held.from_seq, held.until_seq)
        .where(held.name == "amc", held.usage == "agent")
        .order_by(held.from_seq)
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
