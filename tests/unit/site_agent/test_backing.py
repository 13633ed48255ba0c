"""A hospital's backup brings back what its agent needs, patients' records aside."""

from __future__ import annotations

import pytest

from governance import archive
from protos.errors import Refused
from site_agent.backing import backup, bring_back

SECRET = b"a long passphrase"


def test_approved_wheels_come_back(charite, tmp_path):
    wheel = charite.premises.wheels / f"{'a' * 64}.whl"
    wheel.write_bytes(b"code that was read here")
    backup(charite.file, tmp_path / "backup", passphrase=SECRET)
    wheel.unlink()
    charite.close()
    bring_back(charite.file, tmp_path / "backup", passphrase=SECRET, now=charite.clock())
    charite.open()
    assert wheel.read_bytes() == b"code that was read here"


def test_a_coordinators_backup_is_no_hospitals(charite, tmp_path):
    with archive.written(tmp_path / "backup", passphrase=SECRET) as add:
        add(charite.premises.database, "state/coordinator.db")
    with pytest.raises(Refused) as refused:
        bring_back(charite.file, tmp_path / "backup", passphrase=SECRET, now=charite.clock())
    assert refused.value.rule == "no-backup"
    assert charite.premises.database.exists()


def test_a_folder_that_is_not_there_is_named_as_it_was_given(charite, tmp_path):
    with pytest.raises(FileNotFoundError) as refused:
        backup(charite.file, tmp_path / "elsewhere" / "backup", passphrase=SECRET)
    assert refused.value.filename == str(tmp_path / "elsewhere")
