"""A confined worker trains, and can neither call out, nor read a key, nor write elsewhere.

These need bubblewrap and user namespaces: where a machine has none they fail.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from governance.settings import Resources
from protos.errors import Refused
from site_agent.confinement import PARENT, Confinement
from site_agent.worker import Worker

pytestmark = pytest.mark.slow
asked = pytest.mark.asyncio


@pytest.fixture
def place(tmp_path):
    """A hospital's folder: a cohort, the agent's key, and the work folder."""
    for name in ("state/work", "enrolled"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "patients.csv").write_text("id,age\n1,70\n")
    (tmp_path / "enrolled" / "agent.key").write_text("secret")
    (tmp_path / "state" / "site.db").write_text("journal")
    return tmp_path


@pytest.fixture
def confined(place):
    return Confinement((place / "patients.csv",), place / "state" / "work")


def around(h):
    """Confine a worker as a hospital's does: what it reads, and the folder of its work."""
    return Confinement((h.csv, h.folder / "secret"), h.folder)


def nothing(steps):
    pass


def tried(confined, program):
    """Run a program in the confinement; return its exit code and what it said."""
    ended = subprocess.run(
        confined.command([sys.executable, "-c", program]),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_machine_that_confines_says_so(confined):
    confined.check()


def test_no_socket_reaches_anything(confined):
    listener = "import socket; s = socket.create_connection(('127.0.0.1', {}), 2)"
    with asyncio.Runner() as runner:

        async def listening():
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            told = await asyncio.to_thread(tried, confined, listener.format(port))
            server.close()
            return told

        code, said = runner.run(listening())
    assert code != 0
    assert "refused" in said or "unreachable" in said


def test_no_address_outside_is_reached(confined):
    code, said = tried(
        confined, "import socket; socket.create_connection(('192.0.2.1', 443), 5)"
    )
    assert code != 0
    assert "unreachable" in said


@pytest.mark.parametrize("name", ["enrolled/agent.key", "state/site.db"])
def test_a_key_is_not_there_to_be_read(confined, place, name):
    code, said = tried(confined, f"open({str(place / name)!r}).read()")
    assert code != 0
    assert "No such file" in said


def test_the_cohort_is_read_and_not_written(confined, place):
    path = str(place / "patients.csv")
    assert tried(confined, f"print(open({path!r}).read())")[1].startswith("id,age")
    code, said = tried(confined, f"open({path!r}, 'a')")
    assert code != 0
    assert "Read-only" in said or "Permission" in said


def test_one_folder_is_written_and_nothing_beside_it(confined, place):
    work = place / "state" / "work"
    assert tried(confined, f"open({str(work / 'update')!r}, 'w').write('made')")[0] == 0
    assert (work / "update").read_text() == "made"
    tried(confined, f"open({str(place / 'state' / 'beside')!r}, 'w').write('made')")
    assert not (place / "state" / "beside").exists()


def test_no_other_process_is_seen(confined):
    _, said = tried(
        confined, "import os; print([n for n in os.listdir('/proc') if n.isdigit()])"
    )
    assert str(os.getpid()) not in said
    assert len(said.split(",")) <= 3


def test_the_program_under_test_sees_this_repositorys_packages_alone(confined):
    root = str(__import__("pathlib").Path(__file__).parents[3])
    code, said = tried(confined, f"import os; print(sorted(os.listdir({root!r})))")
    assert code == 0
    assert "tests" not in said
    assert "governance" in said


@asked
async def test_a_confined_worker_trains_and_evaluates(hospital):
    h = hospital("confined")
    job = h.job()
    worker = Worker(Resources(threads=1), confinement=around(h))
    try:
        assert (await worker.train(job, nothing)).steps == 5
        assert await worker.evaluate(h.evaluation())
    finally:
        await worker.stop()


@asked
@pytest.mark.long
async def test_a_file_that_was_replaced_is_seen_by_the_next_job(hospital):
    h = hospital("replaced")
    worker = Worker(Resources(threads=1), confinement=around(h))
    try:
        await worker.train(h.job(), nothing)
        first = worker._child.pid
        await worker.train(h.job(out=h.folder / "again"), nothing)
        assert worker._child.pid == first
        other = h.csv.with_suffix(".new")
        other.write_bytes(h.csv.read_bytes())
        other.replace(h.csv)
        await worker.train(h.job(out=h.folder / "third"), nothing)
        assert worker._child.pid != first
    finally:
        await worker.stop()


def test_a_machine_without_the_program_is_refused(confined, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused) as told:
        confined.check()
    assert told.value.rule == "no-confinement"
    assert "bubblewrap" in told.value.todo


def test_the_worker_is_told_of_its_parent_as_it_sees_it():
    assert PARENT == 1
