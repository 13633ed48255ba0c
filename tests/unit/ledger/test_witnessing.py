"""Checkpoints and cosignatures in the database."""

from __future__ import annotations

import pytest
from admission import unguarded

from governance.identity.keys import SigningKey
from governance.ledger import checkpoint, merkle, note, store
from governance.ledger.checkpoint import Checkpoint
from protos.errors import Corrupt, PeerFault, Refused

SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}


def sign(federation):
    return store.sign_checkpoint(
        federation.connection, federation.key("ledger"), federation.log.origin
    )


def cosign(federation, text, site):
    key = federation.key(f"{site} agent")
    return checkpoint.cosign(text, site=site, key=key, at=federation.now)


@pytest.fixture
def copy(tmp_path):
    """An empty copy of a log, in a database of its own."""
    engine = store.open_engine(f"sqlite:///{tmp_path}/copy.db")
    store.create(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


# --- signing ------------------------------------------------------------------------------


def test_the_head_is_signed_once(agreed):
    text = sign(agreed)
    key = checkpoint.log_key(agreed.log.origin, agreed.key("ledger").key_id)
    head = store.head(agreed.connection)
    assert checkpoint.read(text, key) == Checkpoint(agreed.log.origin, head.size, head.root)
    assert sign(agreed) == text
    assert store.latest_checkpoint(agreed.connection) == text
    agreed.agent("amc", "software-started", SOFTWARE)
    assert sign(agreed) != text
    assert store.checkpoint_of(agreed.connection, head.size) == text
    assert store.checkpoint_of(agreed.connection, 1) is None


def test_only_the_logs_key_signs_its_own_origin(agreed):
    c = agreed.connection
    for key, origin in (
        (agreed.key("amc agent"), agreed.log.origin),
        (agreed.key("ledger"), "concilium/lung"),
    ):
        with pytest.raises(Refused) as refused:
            store.sign_checkpoint(c, key, origin)
        assert refused.value.rule == "wrong-key"


def test_an_empty_log_signs_nothing(new):
    with pytest.raises(Refused) as refused:
        sign(new)
    assert refused.value.rule == "no-genesis"


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE nodes SET hash = CAST('' AS {blob}) WHERE level = 3 AND idx = 0",
        "DELETE FROM nodes WHERE level = 0 AND idx >= 5",
    ],
)
def test_a_rewritten_history_is_never_signed(agreed, tampering):
    sign(agreed)
    unguarded(agreed.connection, "nodes")
    blob = "BLOB" if agreed.connection.dialect.name == "sqlite" else "BYTEA"
    agreed.connection.exec_driver_sql(tampering.format(blob=blob))
    with pytest.raises(Corrupt) as refused:
        sign(agreed)
    assert refused.value.rule == "history-rewritten"


# --- witnesses ----------------------------------------------------------------------------


def test_a_checkpoint_carries_its_cosignatures(agreed):
    text = sign(agreed)
    size = store.size_of(agreed.connection)
    for site in ("ucl", "amc", "ucl"):
        store.add_cosignature(agreed.connection, size, cosign(agreed, text, site), site)
        agreed.now += (agreed.now - agreed.now.replace(minute=0)) / 7
    noted = store.latest_checkpoint(agreed.connection)
    agents = {site: agreed.key(f"{site} agent").key_id for site in ("amc", "ucl", "ki")}
    assert set(checkpoint.witnesses(noted, agents)) == {"amc", "ucl"}
    assert list(store.cosigners(agreed.connection, size)) == ["amc", "ucl"]
    assert len(note.parse(noted).signatures) == 3


def test_one_witness_never_stands_for_another(agreed):
    text = sign(agreed)
    size = store.size_of(agreed.connection)
    for site, line in (
        ("ucl", cosign(agreed, text, "amc")),
        (
            "amc",
            checkpoint.cosign(text, site="amc", key=agreed.key("ucl agent"), at=agreed.now),
        ),
        (
            "amc",
            checkpoint.cosign(text, site="amc", key=agreed.key("amc officer"), at=agreed.now),
        ),
        ("amc", "— amc AAAA"),
    ):
        with pytest.raises(PeerFault):
            store.add_cosignature(agreed.connection, size, line, site)
    assert store.cosigners(agreed.connection, size) == {}


def test_a_cosignature_is_of_a_checkpoint_that_was_signed(agreed):
    text = sign(agreed)
    size = store.size_of(agreed.connection)
    line = cosign(agreed, text, "amc")
    with pytest.raises(Refused) as refused:
        store.add_cosignature(agreed.connection, size - 1, line, "amc")
    assert refused.value.rule == "unknown-checkpoint"
    agreed.operator("revoked", {"name": "amc", "serials": []})
    with pytest.raises(Refused) as refused:
        store.add_cosignature(agreed.connection, size, line, "amc")
    assert refused.value.rule == "key-not-enrolled"


# --- copies -------------------------------------------------------------------------------


def test_a_copy_keeps_a_checkpoint_over_its_own_entries(agreed, copy):
    text = sign(agreed)
    size = store.size_of(agreed.connection)
    store.add_cosignature(agreed.connection, size, cosign(agreed, text, "amc"), "amc")
    with pytest.raises(Refused):
        store.add_checkpoint(copy, text)
    store.append_mirrored(copy, store.entries(agreed.connection, 0, size - 1))
    with pytest.raises(Refused) as refused:
        store.add_checkpoint(copy, text)
    assert refused.value.rule == "copy-too-short"
    store.append_mirrored(copy, store.entries(agreed.connection, 0, size))
    head = store.add_checkpoint(copy, store.latest_checkpoint(agreed.connection))
    assert head.size == size
    assert store.add_checkpoint(copy, text) == head
    assert store.latest_checkpoint(copy) == text


def test_a_copy_refuses_another_history_and_another_key(agreed, copy):
    size = store.size_of(agreed.connection)
    store.append_mirrored(copy, store.entries(agreed.connection, 0, size))
    other = Checkpoint(agreed.log.origin, size, merkle.leaf_hash(b"another history"))
    with pytest.raises(Refused) as refused:
        store.add_checkpoint(copy, checkpoint.sign(other, agreed.key("ledger")))
    assert refused.value.rule == "history-differs"
    right = Checkpoint(agreed.log.origin, size, store.head(copy).root)
    with pytest.raises(PeerFault):
        store.add_checkpoint(copy, checkpoint.sign(right, SigningKey.generate()))
    assert store.latest_checkpoint(copy) is None
