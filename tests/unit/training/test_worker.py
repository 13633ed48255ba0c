"""The worker is warm, ends with its parent, and its death is nobody else's."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from governance.settings import Resources
from protos.errors import Refused, Unavailable
from site_agent import pipe
from site_agent.evaluation import evaluate
from site_agent.training import train
from site_agent.worker import Killed, Worker, worker_digest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
LONG = {"steps": 1_000_000, "sampling_rate": 0.25}
asked = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker():
    """One worker for all tests: starting it takes seconds, and it survives each of them."""
    made = Worker(Resources(threads=1))
    yield made
    await made.stop()


def nothing(steps):
    pass


@asked
async def test_worker_trains_as_the_process_itself_would(hospital, worker):
    h = hospital()
    told = []
    made = await worker.train(h.job(), told.append)
    assert made == train(h.job(), nothing)
    assert told == sorted(told)
    assert set(told) <= {0, 1, 2, 3, 4, 5}
    again = worker._child.pid
    assert await worker.evaluate(h.evaluation()) == evaluate(h.evaluation())
    assert worker._child.pid == again  # warm: the same child


@asked
async def test_training_that_pauses_takes_no_batch_and_goes_on_to_the_same_update(
    hospital, worker
):
    h, begun = hospital("pausing"), asyncio.Event()
    told = []

    def hears(steps):
        told.append(steps)
        begun.set()

    await worker.pause()
    training = asyncio.create_task(worker.train(h.job(), hears))
    await begun.wait()
    assert not (await asyncio.wait({training}, timeout=0.5))[0]
    assert told == [0]
    await worker.resume()
    assert await training == train(h.job(), nothing)


@asked
async def test_pause_that_came_too_late_is_not_the_next_training_s(hospital, worker):
    h = hospital("late")
    await worker.train(h.job(), nothing)
    await worker.pause()
    await worker.resume()
    assert (await worker.train(h.job(), nothing)).steps == 5


@asked
async def test_paused_training_can_be_given_up(hospital, worker):
    begun = asyncio.Event()
    await worker.pause()
    training = asyncio.create_task(worker.train(hospital().job(), lambda _: begun.set()))
    await begun.wait()
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert (await worker.train(hospital("next").job(), nothing)).steps == 5


@asked
async def test_refusal_crosses_with_its_rule_and_the_child_goes_on(hospital, worker):
    bad, good = hospital("bad", data__minimum_patients=5000), hospital("good")
    with pytest.raises(Refused) as error:
        await worker.train(bad.job(), nothing)
    assert error.value.rule == "data-contract"
    assert error.value.todo
    assert (await worker.train(good.job(), nothing)).steps == 5


@pytest.mark.asyncio
async def test_a_job_that_wants_more_memory_than_it_may_have_is_refused_and_the_child_goes_on(
    hospital,
):
    # 16 MB for each patient's gradient
    wide = {"name": "mlp", "hidden": [2000, 2000], "seed": 1}
    large, small = hospital("large", model=wide), hospital("small")
    worker = Worker(Resources(threads=1, memory="600MiB"))
    try:
        with pytest.raises(Refused) as error:
            await worker.train(large.job(), nothing)
        assert error.value.rule == "worker-memory"
        assert "600 MiB" in error.value.what
        assert (await worker.train(small.job(), nothing)).steps == 5
    finally:
        await worker.stop()


@asked
async def test_killed_child_is_unavailable_and_the_next_call_starts_another(hospital, worker):
    long = hospital("long", round__local=LONG)
    begun = asyncio.Event()
    training = asyncio.create_task(worker.train(long.job(), lambda _: begun.set()))
    await begun.wait()
    first = worker._child.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(Killed) as error:
        await training
    assert error.value.rule == "worker-gone"
    assert (await worker.train(hospital("short").job(), nothing)).steps == 5
    assert worker._child.pid != first


@asked
async def test_a_child_that_crashes_was_not_killed(hospital, worker):
    begun = asyncio.Event()
    job = hospital(round__local=LONG).job()
    training = asyncio.create_task(worker.train(job, lambda _: begun.set()))
    await begun.wait()
    os.kill(worker._child.pid, signal.SIGSEGV)
    with pytest.raises(Unavailable) as error:
        await training
    assert error.value.rule == "worker-gone"
    assert not isinstance(error.value, Killed)


@asked
async def test_cancel_ends_a_long_task_at_once(hospital, worker):
    long = hospital(round__local=LONG)
    begun = asyncio.Event()
    training = asyncio.create_task(worker.train(long.job(), lambda _: begun.set()))
    await begun.wait()
    async with asyncio.timeout(60):
        worker.cancel()
        with pytest.raises(Unavailable):
            await training


@asked
async def test_cancelled_call_leaves_no_answer_behind(hospital, worker):
    long = hospital("long", round__local=LONG)
    begun = asyncio.Event()
    training = asyncio.create_task(worker.train(long.job(), lambda _: begun.set()))
    await begun.wait()
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert (await worker.train(hospital("short").job(), nothing)).steps == 5


def test_worker_knows_no_secret_of_its_parents_environment(monkeypatch):
    monkeypatch.setenv("CONCILIUM_PASSPHRASE", "do not tell")
    monkeypatch.setenv("LANG", "C.UTF-8")
    known = Worker(Resources(threads=2))._environment()
    assert "do not tell" not in known.values()
    assert known["LANG"] == "C.UTF-8"
    assert known["OMP_NUM_THREADS"] == "2"


def test_worker_dies_with_its_parent():
    script = (
        "import asyncio, os\n"
        "from governance.settings import Resources\n"
        "from site_agent.worker import Worker\n"
        "async def main():\n"
        "    worker = Worker(Resources(threads=1))\n"
        "    await worker.start()\n"
        "    print(worker._child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    child = int(ran.stdout)
    assert ran.returncode == -signal.SIGKILL
    assert _ended(child, within_s=10)


def _ended(process, *, within_s):
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_s)[0])
    finally:
        os.close(handle)


def test_worker_digest_covers_what_the_worker_runs():
    script = (
        "import sys\n"
        "import site_agent.worker_main, site_agent.training, site_agent.evaluation\n"
        "for module in list(sys.modules.values()):\n"
        "    print(getattr(module, '__file__', None) or '')\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    from site_agent import worker

    covered = {p for pattern in worker._SOURCES for p in ROOT.glob(pattern)}
    loaded = {Path(line) for line in out.splitlines() if line}
    ours = {p for p in loaded if p.is_relative_to(ROOT / "site_agent")}
    assert ours - covered <= {ROOT / "site_agent/__init__.py"}
    assert len(worker_digest()) == 64
    assert worker_digest() == worker_digest()


def test_parents_side_needs_no_torch():
    script = "import sys, site_agent.worker; print('torch' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "False"


def test_messages_of_the_pipe_are_bounded():
    packed = pipe.pack({"steps": 3})
    assert pipe.length_of(packed[:4]) == len(packed) - 4
    assert pipe.unpack(packed[4:]) == {"steps": 3}
    with pytest.raises(pipe.PeerFault):
        pipe.length_of(b"\xff" * 4)
    with pytest.raises(pipe.PeerFault):
        pipe.unpack(b"[1]")
