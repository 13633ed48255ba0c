"""A passphrase that is wrong or missing opens nothing and changes nothing."""

from __future__ import annotations

import pytest
from programs import COORDINATOR, call, refused
from standing import SITES


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / "wrong"
    path.write_text("not this one\n")
    return "--passphrase-file", path


def test_a_consent_needs_the_officers_passphrase(fed, wrong, tmp_path):
    name = SITES[0]
    told = ("--officer-name", "A. Weber", "--role", "director", "--yes")
    journal = fed.site_rows(name, "SELECT digest FROM journal")
    nowhere = ("--passphrase-file", tmp_path / "nowhere")
    for secret, words in (
        (wrong, ["officer.pem: the passphrase is wrong"]),
        ((), ["no terminal to ask on", "--passphrase-file"]),
        (nowhere, ["nowhere cannot be read"]),
    ):
        said = fed.site(name, "consent", *told, *secret)
        refused(said, *words, told_before=True)  # the review
    assert fed.site_rows(name, "SELECT digest FROM journal") == journal
    assert fed.site(name, "consent", *told, *fed.secret).code == 0


def test_a_new_issuing_authority_needs_the_roots_passphrase(fed, wrong):
    keys = {path: path.read_bytes() for path in (fed.coordinator / "keys").iterdir()}
    before = fed.entries()
    refused(fed.operator("rotate-key", "issuing", *wrong), "root.key: the passphrase is wrong")
    assert {path: path.read_bytes() for path in (fed.coordinator / "keys").iterdir()} == keys
    assert fed.entries() == before
    assert fed.operator("rotate-key", "issuing", *fed.secret).code == 0
    assert len(fed.entries("key-rotated")) == 1


def test_an_empty_passphrase_founds_nothing(tmp_path):
    (tmp_path / "empty").write_text("\n")
    place = tmp_path / "fed"
    command = ("init", "heart", "--host", "localhost", "--folder", place)
    said = call(COORDINATOR, *command, "--passphrase-file", tmp_path / "empty")
    refused(said, "is empty")
    assert not place.exists()
