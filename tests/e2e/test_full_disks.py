"""A full disk: one sentence, nothing lost, and the same command works once there is room.

The disk of these programs is one on which no file grows beyond a size. The coordinator's own
side is in tests/integration/coordinator.
"""

from __future__ import annotations

import shutil

import pytest
from programs import COORDINATOR, LEDGER, SITE, call, refused
from standing import DEMO, SITES, edited, of_three


def full(kib, *argv):
    """Return a command on a disk where no file grows beyond so many KiB."""
    return ("/usr/bin/env", "bash", "-c", f'ulimit -f {kib}; exec "$@"', "bash", *argv)


@pytest.mark.parametrize("kib", [0, 1, 16], ids=lambda kib: f"{kib}KiB")
def test_a_founding_is_begun_anew(tmp_path, kib):
    (tmp_path / "secret").write_text("correct horse\n")
    place = tmp_path / "fed"
    init = (COORDINATOR, "init", "heart", "--host", "localhost", "--folder", place)
    secret = ("--passphrase-file", tmp_path / "secret")
    refused(call(*full(kib, *init, *secret)), "disk")
    assert call(*init, *secret).code == 0
    refused(call(*init, *secret), "a federation here already")


def test_a_consent_is_journalled_whole_or_not_at_all(fed):
    name = SITES[0]
    told = ("--officer-name", "A. Weber", "--role", "director", "--yes", *fed.secret)
    consent = (SITE, "consent", *told, "--site", fed.site_file(name))
    journal = fed.site_rows(name, "SELECT digest FROM journal")
    for kib in (1, 16):
        refused(call(*full(kib, *consent)), "disk", "full", told_before=True)
        assert fed.site_rows(name, "SELECT digest FROM journal") == journal
    assert call(*consent).code == 0


def test_an_enrolment_is_gone_on_with(served, tmp_path):
    folder = tmp_path / "newcomer"
    shutil.copytree(DEMO / "sites" / "hillcrest", folder)
    entry = {"coordinator": "localhost:1", "folder": "enrolled/here", "proxy": "none"}

    def change(said):
        entry["cohort"] = next(iter(said["cohorts"]))
        said.update(name="st-disk", federations=[entry])

    edited(folder / "site.yaml", change)
    token = served.token("site", "st-disk")
    enrol = (SITE, "enrol", token, "--site", folder / "site.yaml", *served.secret)
    for kib in (0, 1, 16):
        refused(call(*full(kib, *enrol)), "disk")
    assert call(*enrol).code == 0
    assert call(SITE, "status", "--site", folder / "site.yaml").code == 0


def test_the_operators_agreement_and_an_export_are_whole_or_as_before(served, tmp_path):
    agreement = of_three(tmp_path / "agreement.yaml", title="another")
    propose = (COORDINATOR, "propose", agreement, "--fill-roster")
    text = agreement.read_bytes()
    refused(call(*full(4, *propose, "--folder", served.coordinator)), "disk", "full")
    assert agreement.read_bytes() == text
    assert [path.name for path in tmp_path.iterdir()] == ["agreement.yaml"]
    export = (LEDGER, "export", tmp_path / "export", "--url", served.database)
    refused(call(*full(16, *export)), "disk")
    assert call(*export).code == 0
    assert call(LEDGER, "verify", "--export", tmp_path / "export").code == 0


def test_an_agent_on_a_full_disk_ends_in_a_sentence_and_begins_again(fed):
    fed.serve()
    name = SITES[0]
    run = (SITE, "run", "--site", fed.site_file(name))
    refused(call(*full(1, *run)), "disk", "full")
    fed.run(name)
