"""The coordinator as a process: its folder, its ports, its disk, and how it ends."""

from __future__ import annotations

import json
import signal
import socket

import grpc
import numpy as np
import pytest
from scripted_site import Ended, refused, small_step
from uploading import halfway

from coordinator import adding, onward
from governance.terminal import EXIT_INTERRUPTED
from protos.errors import EXIT_DONE, EXIT_USER, Unavailable
from protos.words import FinalModel, TaskKind

pytestmark = pytest.mark.slow
SOFTWARE = {"program": "x", "version": "1", "os": "y"}
WIDE = {"model": {"name": "mlp", "hidden": [512, 512], "norm": "none", "seed": 1}}


def complaint(apart):
    """Return the one sentence that a program which could not go on says."""
    said = "".join(apart.said)
    assert "Traceback" not in said, said
    assert ".cc:" not in said, said
    (line,) = [line for line in apart.said if line.startswith("error: ")]
    return line


async def second(apart):
    """Start another coordinator on the same folder; return its exit code and its sentence."""
    other = type(apart)(apart.folders)
    await other.start()
    return await other.over(), complaint(other)


async def test_second_coordinator_on_a_folder_is_refused_and_names_the_first(apart):
    await apart.start()
    known = len(apart.entries())
    code, sentence = await second(apart)
    assert code == EXIT_USER
    assert f"process {apart.process.pid}" in sentence
    assert len(apart.entries()) == known
    await apart.kill()
    await apart.start()


async def test_port_that_is_taken_is_one_sentence_and_leaves_no_trace(apart):
    port = int(apart.folders.identity("van-dijk").coordinator.rsplit(":", 1)[1])
    known = len(apart.entries())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        await apart.start()
        assert await apart.over() == EXIT_USER
    assert f"127.0.0.1:{port} is taken" in complaint(apart)
    assert len(apart.entries()) == known
    apart.said.clear()
    await apart.start()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_end_does_not_wait_for_a_round_which_goes_on_after_it(apart, how):
    await apart.start()
    await apart.in_force(changes={"schedule.rounds": 1})
    amc = apart.site("amc")
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    assert await apart.terminate(how) == EXIT_DONE
    await amc.ended_by("draining", "UNAVAILABLE")
    await apart.start()
    for site in await apart.come():
        site.works()
    finals = [await site.next(FinalModel) for site in apart.sites.values()]
    assert len(set(finals)) == 1
    assert len(apart.entries("contribution-made")) == 3


async def test_end_while_an_upload_is_under_way_does_not_wait_for_it(apart):
    await apart.start()
    await apart.in_force()
    amc = apart.site("amc")
    upload = (await halfway(apart, amc)).upload
    assert await apart.terminate() == EXIT_DONE
    with pytest.raises(grpc.aio.AioRpcError):
        await upload


async def test_end_while_a_sum_is_made_does_not_wait_for_it(apart):
    await apart.start(dies_at="a-sum-that-takes-for-ever")
    await apart.in_force(changes={"schedule.rounds": 1})
    hangs = apart.heard("hangs")
    await apart.all_in()
    await hangs
    assert await apart.terminate() == EXIT_DONE
    await apart.start()
    for site in await apart.come():
        site.works()
    for site in apart.sites.values():
        await site.next(FinalModel)


@pytest.mark.parametrize(
    "point", ["interrupted-before-the-store-opens", "interrupted-before-it-listens"]
)
async def test_interrupt_while_it_starts_is_one_sentence_at_most_and_loses_nothing(
    apart, point
):
    await apart.start(dies_at=point)
    assert await apart.over() in {EXIT_DONE, EXIT_INTERRUPTED}
    assert not [line for line in apart.said if "Traceback" in line], apart.said
    await apart.start()
    assert (await apart.status()).federation == "hearts"


async def test_what_a_killed_sum_left_behind_is_cleared_at_the_start(apart):
    models = apart.folders.coordinator / "state" / "models"
    models.mkdir(exist_ok=True)
    (models / ".x7.partial").write_bytes(b"half a model")
    await apart.start()
    assert list(models.iterdir()) == []


async def test_folder_that_is_none_is_one_sentence(apart, tmp_path):
    (apart.folders.coordinator / "coordinator.yaml").unlink()
    await apart.start()
    assert await apart.over() == EXIT_USER
    assert "coordinator.yaml" in complaint(apart)


async def test_key_that_others_may_read_is_one_sentence(apart):
    (apart.folders.coordinator / "keys" / "issuing.key").chmod(0o644)
    await apart.start()
    assert await apart.over() == EXIT_USER
    assert "issuing.key" in complaint(apart)


async def test_full_disk_at_the_start_is_one_sentence_and_nothing_is_lost(apart):
    await apart.start(largest=1024)
    assert await apart.over() == EXIT_USER
    assert complaint(apart)
    apart.said.clear()
    await apart.start()


async def test_full_disk_under_the_database_takes_nothing_and_loses_nothing(apart):
    database = apart.folders.coordinator / "state" / "coordinator.db"
    await apart.start(largest=database.stat().st_size + (128 << 10))
    amc = apart.site("amc")
    await amc.connect()
    said = []

    async def talk():
        for turn in range(300):
            said.append(str(turn))
            receipt = await amc.say("software-started", {**SOFTWARE, "version": said[-1]})
            assert receipt.accepted

    with pytest.raises(Ended):
        await talk()
    assert amc.over.rule == "UNAVAILABLE"
    assert "disk" in amc.over.said
    assert await apart.terminate() == EXIT_DONE
    await apart.start()
    await amc.connect()
    await amc.acknowledged()
    started = [e for e in apart.entries("software-started") if e.actor == "site/amc"]
    assert [e.body["version"] for e in started] == said


async def test_full_disk_under_an_upload_is_said_and_the_upload_goes_on_later(apart):
    await apart.start()
    await apart.in_force(changes={**WIDE, "schedule.rounds": 1})
    tasks = await apart.tasks()
    amc = apart.site("amc")
    start = await amc.model(tasks["amc"].model)
    await amc.accept(tasks["amc"])
    assert await apart.terminate() == EXIT_DONE
    await apart.start(largest=1 << 20)
    values = {f"y/{name}": np.full(v.shape, 0.01, np.float32) for name, v in start.items()}
    path, blob = amc.update(values)
    assert blob.size > 1 << 20
    data, statement = path.read_bytes(), amc.contribution(tasks["amc"], blob)
    async with refused("disk-full", grpc.StatusCode.UNAVAILABLE):
        await amc.upload(tasks["amc"], blob, data, statement)
    assert await apart.terminate() == EXIT_DONE
    await apart.start()
    there = await amc.upload_offset(tasks["amc"], blob)
    assert 0 < there.offset <= 1 << 20
    await amc.upload(tasks["amc"], blob, data, statement, offset=there.offset)
    amc.said(statement)
    sites = await apart.come()
    for site in sites[1:]:
        await site.contribute(tasks[site.name], values)
    for site in sites:
        site.works()
    for site in sites:
        await site.next(FinalModel)


async def test_log_lines_are_json_and_name_no_secret(apart):
    await apart.start()
    token, _ = await apart.invite("site", "gemelli")
    assert await apart.terminate() == EXIT_DONE
    events = [json.loads(line) for line in apart.said]
    assert events[0]["event"] == "serving"
    assert {"event", "level", "timestamp"} <= events[0].keys()
    secret = token.removeprefix("concilium1.")
    assert not [line for line in apart.said if secret[-40:] in line]


async def test_enrolment_port_that_is_taken_is_told_to_the_operator_and_serving_goes_on(fed):
    await fed.stop()
    await fed.start(lingers_s=0)
    port = int(fed.base.addresses["enrolment"].rsplit(":", 1)[1])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(Unavailable, match="taken"):
            await fed.invite("site", "gemelli")
        await fed.come("amc")
        assert (await fed.status()).federation == "hearts"
        assert fed.failed is None
    await fed.enrol("site", "karolinska")


async def test_fault_of_ours_ends_neither_sessions_nor_the_program(fed, monkeypatch):
    truly, tries = onward.step, []

    async def faulty_at_first(base, looking):
        tries.append(1)
        if len(tries) == 1:
            raise ZeroDivisionError("a fault of ours")
        return await truly(base, looking)

    (amc,) = await fed.come("amc")
    monkeypatch.setattr(onward, "step", faulty_at_first)
    assert (await amc.say("software-started", SOFTWARE)).accepted
    assert (await amc.say("software-started", SOFTWARE)).accepted
    assert fed.failed is None
    assert len(tries) > 1


async def test_sum_on_a_full_disk_is_tried_again(fed, monkeypatch):
    truly, tries = adding.aggregate.aggregate, []

    def full_at_first(*given, **more):
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("the disk that holds models is full", rule="disk-full")
        return truly(*given, **more)

    monkeypatch.setattr(adding.aggregate, "aggregate", full_at_first)
    await fed.in_force(changes={"schedule.rounds": 1})
    await fed.all_in()
    await fed.until(lambda: len(tries) == 1)
    while len(tries) < 2:  # what is said before the failure is known is followed by no try
        await fed.site("amc").say("software-started", SOFTWARE)  # anything that happens
    await fed.tasks(TaskKind.EVALUATE)
