"""What is wrong with an agent is found by name: line, machine, store, what stands."""

from __future__ import annotations

import shutil
import socket
from types import SimpleNamespace

import pytest
from hospital import FEDERATION
from ports import served

from governance.findings import Verdict
from site_agent import doctor
from site_agent.store import notes


def examined(hospital, **settings):
    if settings:
        hospital.rewrite(**settings)
    hospital.close()
    found = doctor.examine(hospital.file, None, lambda said: None)
    hospital.open()
    return {one.check: one for one in found}


def stops(found):
    return {name for name, one in found.items() if one.verdict is Verdict.STOPS}


def federations(hospital, port):
    (one,) = hospital.settings.model_dump(mode="json")["federations"]
    return [
        {
            "coordinator": f"localhost:{port}",
            "folder": f"enrolled/{FEDERATION}",
            "cohort": one["cohort"],
        }
    ]


def test_an_agent_that_does_not_run_and_a_coordinator_that_refuses_are_named(today):
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    found = examined(today, federations=federations(today, port))
    assert stops(found) == {"agent", "port"}
    assert found["agent"].todo == "Start it: concilium-site run"
    assert found["store"].verdict is Verdict.FINE


def test_the_wrong_ca_is_named(today, tmp_path):
    import firewall

    with served(firewall.inspecting(tmp_path)) as port:
        found = examined(today, federations=federations(today, port))
    assert "certificate" in stops(found)


def test_a_store_with_a_damaged_page_is_named(today):
    database = today.premises.database
    today.close()
    raw = bytearray(database.read_bytes())
    assert len(raw) > 5 * 4096
    raw[4096 : 5 * 4096] = bytes(range(256)) * (4 * 4096 // 256)
    database.write_bytes(raw)
    for side in ("-wal", "-shm"):
        database.with_name(database.name + side).unlink(missing_ok=True)
    found = {one.check: one for one in doctor.examine(today.file, None, lambda said: None)}
    assert found["store"].verdict is Verdict.STOPS
    assert "backup" in found["store"].todo
    shutil.rmtree(today.premises.state)
    today.open()


def test_a_full_disk_is_named(today, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    assert "disk" in stops(examined(today))


@pytest.mark.slow
def test_torch_without_the_device_that_is_expected_is_named(today):
    found = examined(today, resources={"threads": 1, "isolation": "none", "device": "cuda"})
    assert found["device"].found == "torch sees no cuda device"


def test_an_alarm_about_the_ledger_must_be_mended(today):
    today.store.now(lambda c: notes.set_note(c, FEDERATION, notes.ALARM, "fork: two heads"))
    assert "fork" in stops(examined(today))


@pytest.mark.slow
def test_doctor_ends_with_one_where_something_must_be_mended(today, program):
    today.close()
    code, said, _ = program("doctor", "--site", today.file)
    today.open()
    assert code == 1
    assert "it is not running" in said
    assert "To do for you, the administrator:" in said
