"""A new issuing authority: named in the log before it issues anything, whatever is killed."""

from __future__ import annotations

from datetime import UTC, datetime

import federations

from coordinator import founding
from governance.identity.authority import Authority

PASSPHRASE = b"correct horse"


def rotate(folders):
    founding.rotate(
        folders.coordinator, "issuing", passphrase=PASSPHRASE, now=datetime.now(UTC)
    )


def killed_while_rotating(folders):
    """Replace the key's files, and die before the log is told."""
    Authority.load(folders.coordinator).renew_issuing(PASSPHRASE, now=datetime.now(UTC))


async def enrols(folders):
    fed = await federations.Here(folders).start()
    try:
        await fed.enrol("site", "newcomer")
        return [e.body["new"] for e in fed.entries("key-rotated")]
    finally:
        await fed.end()
        fed.verified()


async def test_members_enrol_under_a_new_issuing_authority(folders):
    rotate(folders)
    assert await enrols(folders) == [Authority.load(folders.coordinator).issuing_key.key_id]


async def test_members_enrol_after_the_rotation_was_killed_before_the_log_was_told(folders):
    killed_while_rotating(folders)
    assert await enrols(folders) == [Authority.load(folders.coordinator).issuing_key.key_id]


async def test_an_authority_is_rotated_again_after_a_rotation_was_killed(folders):
    killed_while_rotating(folders)
    between = Authority.load(folders.coordinator).issuing_key.key_id
    rotate(folders)
    assert await enrols(folders) == [
        between,
        Authority.load(folders.coordinator).issuing_key.key_id,
    ]
