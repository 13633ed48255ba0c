"""What is wrong with a coordinator is found by name, while it runs and while it does not."""

from __future__ import annotations

import asyncio
import shutil
from types import SimpleNamespace

from coordinator import doctor
from governance.findings import Verdict


async def examined(folder):
    """Return what is found, by name; beside a coordinator in this very process."""
    identity = folder / "operators" / "van-dijk"
    found = await asyncio.to_thread(lambda: list(doctor.examine(folder, identity)))
    return {one.check: one for one in found}


def stops(found):
    return {name for name, one in found.items() if one.verdict is Verdict.STOPS}


async def test_a_coordinator_that_does_not_run_is_named(folders):
    found = await examined(folders.coordinator)
    assert stops(found) == {"coordinator"}
    assert found["coordinator"].todo == "Start it: concilium-coordinator serve"


async def test_nothing_is_wrong_with_a_federation_at_work(fed):
    await fed.in_force()
    found = await examined(fed.folders.coordinator)
    assert {one.verdict for one in found.values()} == {Verdict.FINE}
    assert "round 1" in found["federation"].found


async def test_a_hospital_that_is_away_is_named(fed):
    found = await examined(fed.folders.coordinator)
    assert found["site amc"].found == "not connected"
    assert stops(found) == set()


async def test_a_damaged_database_is_named(folders):
    database = folders.coordinator / "state" / "coordinator.db"
    raw = bytearray(database.read_bytes())
    raw[4096:8192] = bytes(4096)
    database.write_bytes(raw)
    found = await examined(folders.coordinator)
    assert "database" in stops(found)


async def test_a_full_disk_is_named(folders, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=100, free=5))
    assert "disk" in stops(await examined(folders.coordinator))


async def test_missing_keys_are_named(folders):
    (folders.coordinator / "keys" / "issuing.key").unlink()
    assert "keys" in stops(await examined(folders.coordinator))
