"""Signed notes, checkpoints and cosignatures against published vectors and hostile notes."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.identity.keys import SigningKey
from governance.ledger import checkpoint, note
from governance.ledger.checkpoint import Checkpoint
from protos.errors import PeerFault

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngot"
    "pRZb6KE6RyyBwJnAM=\n"
)
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

ORIGIN = "ledger.example/study-7"
LOG = SigningKey.from_seed(bytes(range(0x20)))
SITE = SigningKey.from_seed(bytes(range(0x20, 0x40)))
LOG_VKEY = "ledger.example/study-7+acdf255d+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
WITNESS = "witness.example/site-a"
WITNESS_VKEY = "witness.example/site-a+a41bbb06+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
ROOT = bytes.fromhex("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328")
BODY = "ledger.example/study-7\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
LOG_LINE = (
    "— ledger.example/study-7 rN8lXex8Sikm+d4WLvqMYcbla4A1xqwuQgkxsLMnonqcBMz3/rYqIBZ5ALDT7YIF0"
    "Wst6ubFMak+B2X4gGrsZBMOPgw="
)
WITNESS_LINE = (
    "— witness.example/site-a pBu7BgAAAABpIBwAYfwIYdEvcjYGMlU1xtsrI5ikY522sLsjof1UIg+orGKB4q6I8"
    "lEx5Rr5EMpwupM0Rm14g9vs8mAIbJTWyYvcDw=="
)
SIGNED = f"{BODY}\n{LOG_LINE}\n"
COSIGNED = f"{BODY}\n{LOG_LINE}\n{WITNESS_LINE}\n"
TIME = datetime.fromtimestamp(1763712000, UTC)
HEAD = Checkpoint(ORIGIN, 8, ROOT)


def test_the_published_note_is_verified():
    key = note.parse_vkey(PETER)
    assert key.text == PETER
    parsed = note.parse(PETER_NOTE)
    assert parsed.signed == PETER_NOTE
    assert list(note.check(parsed, [key])) == [key]


def test_the_published_verifier_key_of_another_log_is_read():
    key = note.parse_vkey(SUMDB)
    assert (key.name, key.key_hash.hex(), key.text) == ("sum.golang.org", "033de0ae", SUMDB)


def test_the_log_signs_byte_for_byte_as_the_vector():
    assert HEAD.body == BODY
    assert checkpoint.log_key(ORIGIN, LOG.key_id).text == LOG_VKEY
    assert checkpoint.sign(HEAD, LOG) == SIGNED
    assert checkpoint.read(SIGNED, note.parse_vkey(LOG_VKEY)) == HEAD


def test_a_witness_cosigns_byte_for_byte_as_the_vector():
    key = note.VerifierKey.of(WITNESS, SITE.key_id, algorithm=note.COSIGNATURE)
    assert key.text == WITNESS_VKEY
    assert note.cosign(BODY, WITNESS, SITE, at=TIME).line == WITNESS_LINE
    assert checkpoint.with_cosignatures(SIGNED, [WITNESS_LINE]) == COSIGNED
    good = note.check(note.parse(COSIGNED), [note.parse_vkey(LOG_VKEY), key])
    assert good[key].time == TIME
    assert checkpoint.cosignature(SIGNED, WITNESS_LINE, key) == TIME


def test_a_site_cosigns_under_its_own_name_of_this_log():
    line = checkpoint.cosign(SIGNED, site="charite", key=SITE, at=TIME)
    assert line.startswith("— ledger.example/study-7/site/charite ")
    noted = checkpoint.with_cosignatures(SIGNED, [line, WITNESS_LINE])
    assert checkpoint.witnesses(noted, {"charite": SITE.key_id}) == {"charite": TIME}
    assert checkpoint.witnesses(noted, {"amc": SITE.key_id}) == {}
    assert checkpoint.witnesses(SIGNED, {"charite": SITE.key_id}) == {}


def test_a_cosignature_of_another_site_or_body_is_refused():
    key = checkpoint.witness_key(ORIGIN, "charite", SITE.key_id)
    other = checkpoint.cosign(SIGNED, site="amc", key=SITE, at=TIME)
    longer = checkpoint.sign(Checkpoint(ORIGIN, 9, ROOT), LOG)
    stale = checkpoint.cosign(SIGNED, site="charite", key=SITE, at=TIME)
    for text, line in ((SIGNED, other), (longer, stale)):
        with pytest.raises(PeerFault) as refused:
            checkpoint.cosignature(text, line, key)
        assert refused.value.rule == "bad-signature"


def test_a_cosignature_with_another_time_is_refused():
    key = checkpoint.witness_key(ORIGIN, "charite", SITE.key_id)
    line = checkpoint.cosign(SIGNED, site="charite", key=SITE, at=TIME)
    signature = note.parse_line(line)
    for time in (b"\x00" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7):
        bent = note.Signature(signature.name, signature.key_hash, time + signature.blob[8:])
        with pytest.raises(PeerFault):
            checkpoint.cosignature(SIGNED, bent.line, key)


def test_a_time_beyond_all_clocks_is_no_cosignature_even_when_signed():
    name = checkpoint.witness_name(ORIGIN, "charite")
    key = checkpoint.witness_key(ORIGIN, "charite", SITE.key_id)
    time = (2**62).to_bytes(8, "big")
    signed = SITE.sign(b"cosignature/v1\ntime %d\n" % 2**62 + BODY.encode())
    line = note.Signature(name, key.key_hash, time + signed).line
    with pytest.raises(PeerFault):
        checkpoint.cosignature(SIGNED, line, key)


def test_signatures_of_unknown_keys_are_ignored_even_if_half_of_the_name_fits():
    known = note.parse_vkey(PETER)
    line = note.parse(PETER_NOTE).signatures[0]
    strangers = [
        note.Signature("EnochRoot", known.key_hash, line.blob),
        note.Signature("PeterNeumann", b"\0\0\0\0", line.blob),
        note.Signature("EnochRoot", b"\1\2\3\4", b"short"),
    ]
    text = note.parse(PETER_NOTE).text
    parsed = note.parse(note.Note(text, (*strangers, line)).signed)
    assert list(note.check(parsed, [known])) == [known]
    with pytest.raises(PeerFault):
        note.check(note.Note(text, tuple(strangers)), [known])


def test_one_bad_signature_of_a_known_key_spoils_the_note():
    known = [note.parse_vkey(LOG_VKEY), note.parse_vkey(WITNESS_VKEY)]
    for line in note.parse(COSIGNED).signatures:
        bent = note.Signature(line.name, line.key_hash, bytes(len(line.blob)))
        spoilt = note.Note(BODY, (*note.parse(COSIGNED).signatures, bent))
        with pytest.raises(PeerFault):
            note.check(spoilt, known)


def test_a_cosignature_is_no_signature_of_the_log_and_the_reverse():
    log = checkpoint.log_key(ORIGIN, SITE.key_id)
    witness = note.VerifierKey.of(ORIGIN, SITE.key_id, algorithm=note.COSIGNATURE)
    assert log.key_hash != witness.key_hash
    with pytest.raises(PeerFault):
        note.check(note.Note(BODY, (note.cosign(BODY, ORIGIN, SITE, at=TIME),)), [log])


def test_a_note_of_a_hundred_hospitals_is_read():
    lines = [f"— site-{place} {base64.b64encode(bytes(76)).decode()}" for place in range(255)]
    assert len(note.parse(checkpoint.with_cosignatures(SIGNED, lines)).signatures) == 256
    with pytest.raises(PeerFault):
        checkpoint.with_cosignatures(SIGNED, lines) and note.parse(
            checkpoint.with_cosignatures(SIGNED, [*lines, WITNESS_LINE])
        )


HOSTILE = {
    "empty": "",
    "no blank line": BODY + LOG_LINE + "\n",
    "no signature": BODY + "\n",
    "no last newline": SIGNED[:-1],
    "blank line at the end": SIGNED + "\n",
    "carriage return": SIGNED.replace("\n8\n", "\r\n8\n"),
    "tab": SIGNED.replace("study-7\n", "study-7\t\n", 1),
    "NUL": "\0" + SIGNED,
    "lone surrogate": "\ud800" + SIGNED,
    "hyphen for dash": SIGNED.replace("—", "-"),
    "two spaces": SIGNED.replace("— ledger", "—  ledger"),
    "nameless": SIGNED.replace("— ledger.example/study-7 ", "—  "),
    "plus in the name": SIGNED.replace("— ledger", "— led+ger"),
    "no-break space in the name": SIGNED.replace("— ledger", "— led\u00a0ger"),
    "base64 without padding": SIGNED.replace("Pgw=", "Pgw"),
    "base64 with other last bits": SIGNED.replace("Pgw=", "Pgx="),
    "url-safe base64": SIGNED.replace("rN8lXex8", "rN8l-ex8"),
    "only a key hash": BODY + "\n— ledger.example/study-7 rN8lXQ==\n",
    "text after base64": SIGNED.replace("Pgw=", "Pgw= more"),
    "very long": "x" * note.NOTE_LIMIT + SIGNED,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_notes_are_refused(what):
    with pytest.raises(PeerFault):
        note.parse(HOSTILE[what])


def test_a_text_may_hold_blank_lines():
    text = "one\n\ntwo\n"
    parsed = note.parse(note.Note(text, (note.sign(text, ORIGIN, LOG),)).signed)
    assert parsed.text == text
    assert note.check(parsed, [note.parse_vkey(LOG_VKEY)])


EMPTY_ROOT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
BODIES = {
    "empty": "",
    "two lines": "origin\n8\n",
    "an extension": BODY + "more\n",
    "no origin": BODY.replace(ORIGIN, ""),
    "space in the origin": BODY.replace(ORIGIN, "a b"),
    "plus in the origin": BODY.replace(ORIGIN, "a+b"),
    "leading zero": BODY.replace("\n8\n", "\n08\n"),
    "negative": BODY.replace("\n8\n", "\n-8\n"),
    "Arabic digit": BODY.replace("\n8\n", "\n\u0668\n"),
    "huge": BODY.replace("\n8\n", "\n" + "9" * 19 + "\n"),
    "no base64": BODY.replace("Xcna", "Xc-a"),
    "short root": "origin\n8\n" + base64.b64encode(bytes(31)).decode() + "\n",
    "other last bits": BODY.replace("Qyg=", "Qyh="),
    "an empty tree with a root": BODY.replace("\n8\n", "\n0\n"),
    "a tree with the root of none": f"origin\n8\n{EMPTY_ROOT}\n",
}


@pytest.mark.parametrize("what", BODIES)
def test_hostile_bodies_are_refused(what):
    with pytest.raises(PeerFault) as refused:
        checkpoint.parse_body(BODIES[what])
    assert refused.value.rule == "bad-checkpoint"


def test_the_empty_log_has_a_checkpoint():
    assert checkpoint.parse_body(f"origin\n0\n{EMPTY_ROOT}\n").size == 0


def test_a_checkpoint_of_another_origin_is_refused_although_the_key_signed_it():
    other = Checkpoint("ledger.example/study-8", 8, ROOT)
    forged = note.Note(other.body, (note.sign(other.body, ORIGIN, LOG),)).signed
    with pytest.raises(PeerFault, match="study-8"):
        checkpoint.read(forged, checkpoint.log_key(ORIGIN, LOG.key_id))


@pytest.mark.parametrize("place", range(0, len(SIGNED), 3))
def test_a_checkpoint_with_any_character_changed_is_refused(place):
    bent = SIGNED[:place] + ("A" if SIGNED[place] != "A" else "B") + SIGNED[place + 1 :]
    with pytest.raises(PeerFault):
        checkpoint.read(bent, checkpoint.log_key(ORIGIN, LOG.key_id))


VKEYS = {
    "empty": "",
    "no key": "PeterNeumann+c74f20a3",
    "another hash": PETER.replace("c74f20a3", "c74f20a4"),
    "upper case": PETER.replace("c74f20a3", "C74F20A3"),
    "another name": PETER.replace("Peter", "Petra"),
    "a space": PETER.replace("Peter", "Pe er"),
    "unknown type": note.VerifierKey("x", 0x02, bytes(range(32))).text,
    "short key": note.VerifierKey("x", 0x01, bytes(31)).text,
    "small order": note.VerifierKey("x", 0x01, bytes(32)).text,
}


@pytest.mark.parametrize("what", VKEYS)
def test_hostile_verifier_keys_are_refused(what):
    with pytest.raises(PeerFault):
        note.parse_vkey(VKEYS[what])


def test_only_ed25519_keys_sign_notes():
    with pytest.raises(ValueError, match="cannot sign notes"):
        note.VerifierKey.of("x", "x509:" + "0" * 64)
    with pytest.raises(ValueError, match="cannot sign notes"):
        note.VerifierKey.of("a b", SITE.key_id)


@given(st.text(max_size=400))
def test_any_text_is_a_note_or_a_fault(text):
    with contextlib.suppress(PeerFault):
        assert note.parse(text).signed == text


@given(st.integers(1, 2**59), st.binary(min_size=32, max_size=32))
def test_bodies_round_trip(size, root):
    head = Checkpoint("concilium/heart", size, root)
    if root != checkpoint.merkle.EMPTY:
        assert checkpoint.parse_body(head.body) == head
