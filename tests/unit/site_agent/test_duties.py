"""A task from its offer to its end, broken off at each point: nothing is lost or paid twice."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import numpy as np
import pytest
import pytest_asyncio
from hospital import FEDERATION, START, officer_of
from simulated import Log, SimulatedLink

from governance import statements, tensors
from governance.figures import Figures, from_json
from protos.errors import Corrupt, Refused, Unavailable
from protos.words import (
    AgreementState,
    BlobRef,
    Cancel,
    StatementReceipt,
    TaskAnswer,
    TaskKind,
    UploadRef,
)
from site_agent import contribution, office
from site_agent.agent import TaskState
from site_agent.bell import Bell
from site_agent.duties import Duties
from site_agent.jobs import Trained
from site_agent.session import Presence
from site_agent.store import journal, notes, work
from site_agent.store.copy import Copy
from site_agent.witness import Witness
from site_agent.workshop import Workshop

PATIENCE_S = 120
FIGURES = Figures("binary", withheld="under-minimum")


class ScriptedWorker:
    """A worker that makes what it is told to make, dies, hangs or stumbles."""

    def __init__(self):
        self.jobs = []
        self.deaths = 0
        self.error = None
        self.hang = None
        self.control = False
        self.killed = 0
        self.last = None
        self.hints = []

    async def pause(self):
        self.hints.append("pause")

    async def resume(self):
        self.hints.append("resume")

    async def start(self):
        """It is warm."""

    async def stop(self):
        """It is gone."""

    async def train(self, job, progress):
        self.jobs.append(job)
        progress(2)
        if self.hang is not None:
            self.hang.set()
            try:
                await (self.last or asyncio.Event()).wait()
            except asyncio.CancelledError:
                self.killed += 1
                raise
        if self.deaths:
            self.deaths -= 1
            raise Unavailable("gone", rule="worker-gone")
        if self.error is not None:
            raise self.error
        return written(job.out, number=len(self.jobs), control=self.control)

    async def evaluate(self, job):
        self.jobs.append(job)
        return FIGURES


def written(out, *, number=1, control=False):
    update = {"y/weight": np.full(2, number, np.float32)}
    if control:
        update["c/weight"] = np.ones(2, np.float32)
    blob = tensors.write(update, out)
    own = tensors.write({"c/weight": np.full(2, 7, np.float32)}, out) if control else None
    path = tensors.path_of(out, own.digest) if own else None
    return Trained(tensors.path_of(out, blob.digest), blob.digest, blob.size, 4, path)


class Bench:
    """An agent's duties, with a log and a line of their own."""

    def __init__(self, charite, path):
        self.charite = charite
        self.log = Log(charite, path)
        self.link = SimulatedLink(self.log)
        self.worker = ScriptedWorker()
        self.model = self.link.serve(b"a model")
        self.answered = set()
        self.begin()

    def begin(self):
        self.bell = Bell()
        self.presence = Presence()
        m = self.charite.m
        self.copy = Copy.open(self.charite.premises.copy_of(FEDERATION))
        vkey = self.charite.identity.ledger_key
        self.witness = Witness(m, self.link, self.bell, ledger_key=vkey, kept=self.copy)
        self.duties = Duties(
            m,
            self.link,
            self.bell,
            presence=self.presence,
            witness=self.witness,
            workshop=Workshop(m, self.presence, self.worker, bell=self.bell),
        )
        self.running = asyncio.create_task(self.duties.run())

    async def stop(self):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.copy.close()

    async def power_cut(self):
        """Stop in the middle of whatever goes on, and start again from the disk."""
        await self.stop()
        self.charite.restart()
        self.begin()

    def offer(self, document, **fields):
        blob = BlobRef(self.model, len(self.link.files[self.model]))
        task = self.charite.task(document, model=blob, **fields)
        self.charite.take(task)
        self.bell.ring()
        return task

    def receive(self, body):
        self.charite.take(body)
        self.bell.ring()

    async def until(self, task, *states):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                heard = self.bell.count
                held = self.charite.held(task)
                if held.state in states:
                    return held
                await self.bell.after(heard)

    async def eventually(self, holds):
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await self.bell.within(self.bell.count, 0.05)

    async def reserved(self, task):
        """Wait for the reservation, and accept it."""
        await self.until(task, TaskState.RESERVING)
        said = self.charite.store.look(
            lambda c: journal.of_task(c, FEDERATION, task.task, kind="budget-reserved")
        )
        self.receive(StatementReceipt(said.statement.digest, accepted=True, seq=50))

    async def done(self, document, **fields):
        task = self.offer(document, **fields)
        await self.reserved(task)
        await self.until(task, TaskState.DONE)
        return task


@pytest_asyncio.fixture
async def bench(charite, tmp_path):
    made = Bench(charite, tmp_path / "log.db")
    yield made
    await made.stop()
    made.log.close()


async def test_a_round_at_a_site(bench, charite):
    document = charite.consented()
    task = await bench.done(document)
    (job,) = bench.worker.jobs
    assert (job.declared_patients, job.noise_seed, job.control) == (60, None, None)
    assert job.document.read_bytes() == document.raw
    assert job.model.read_bytes() == b"a model"
    held = charite.held(task)
    assert (
        hashlib.sha256(bench.link.uploads[held.update.digest]).hexdigest() == held.update.digest
    )
    (said,) = charite.said("contribution-made")
    assert (said.status, said.seq) == (journal.ACCEPTED, 77)
    body = said.statement.body
    assert (body["update"], body["base"], body["steps"]) == (held.update.digest, bench.model, 4)
    assert body["epsilon"] == charite.spent()[0].epsilon_total
    assert len(charite.spent()) == 1


async def test_no_batch_before_the_reservation_is_in_the_ledger(bench, charite):
    task = bench.offer(charite.consented())
    await bench.until(task, TaskState.RESERVING)
    for _ in range(50):
        await asyncio.sleep(0)
    assert bench.worker.jobs == []
    assert bench.link.asked == []


async def test_figures_are_disclosed_and_not_in_the_entry(bench, charite):
    task = bench.offer(charite.consented(), kind=TaskKind.EVALUATE)
    await bench.until(task, TaskState.DONE)
    (said,) = charite.said("evaluation-made")
    (told,) = said.disclosures
    assert (told.label, from_json(told.value)) == ("figures", FIGURES)
    assert said.statement.body["model"] == bench.model
    assert charite.spent() == []


async def test_the_unsafe_fixed_noise_is_another_for_each_round(bench, make):
    rehearsal = make(policy__unsafe=["no-isolation", "exact-small-classes", "fixed-noise-seed"])
    await bench.stop()
    bench.charite = rehearsal
    bench.begin()
    document = rehearsal.consented(privacy__noise_seed=7)
    await bench.done(document)
    await bench.done(document, round_=2)
    seeds = [job.noise_seed for job in bench.worker.jobs]
    assert None not in seeds
    assert seeds[0] != seeds[1]
    expected = hashlib.sha256(b"7/charite/1/1").hexdigest()[:8]
    assert seeds[0] == int(expected, 16)


# --- quiet hours -----------------------------------------------------------------------------


def quiet_from(start, end):
    return {"days": ["sat"], "from": start, "to": end, "zone": "UTC"}


async def in_quiet_hours(bench, make, *, begin, end, due):
    """Begin a training at 09:00 by the hospital's clock, with these quiet hours."""
    await bench.stop()
    bench.charite = make(policy__quiet_hours=quiet_from(begin, end))
    bench.worker.hang, bench.worker.last = asyncio.Event(), asyncio.Event()
    bench.begin()
    task = bench.offer(bench.charite.consented(), deadline=START + due)
    await bench.reserved(task)
    await bench.worker.hang.wait()
    return task


def passes(bench, **span):
    bench.charite.clock.pass_(**span)
    bench.bell.ring()


async def test_a_training_pauses_at_the_edge_of_quiet_hours_and_goes_on_after(bench, make):
    task = await in_quiet_hours(bench, make, begin="10:00", end="11:00", due=timedelta(hours=4))
    passes(bench, minutes=59)
    assert bench.worker.hints == []
    passes(bench, minutes=1)
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    assert bench.presence.paused_until == START + timedelta(hours=2)
    assert bench.charite.held(task).state is TaskState.WORKING
    passes(bench, hours=1)
    await bench.eventually(lambda: bench.worker.hints == ["pause", "resume"])
    assert bench.presence.paused_until is None
    bench.worker.last.set()
    await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 1
    assert len(bench.charite.spent()) == 1


async def test_a_training_that_would_be_due_in_quiet_hours_is_not_taken(bench, make):
    await bench.stop()
    bench.charite = make(policy__quiet_hours=quiet_from("09:30", "11:00"))
    bench.begin()
    document = bench.charite.consented()
    task = bench.offer(document, deadline=START + timedelta(hours=1))
    assert (await bench.until(task, TaskState.REFUSED)).rule == "quiet-hours"
    assert bench.charite.spent() == []


async def test_a_training_whose_deadline_the_quiet_hours_outlast_is_given_up(bench, make):
    task = await in_quiet_hours(bench, make, begin="10:00", end="10:30", due=timedelta(hours=4))
    await bench.stop()
    bench.charite.rewrite(policy__quiet_hours=quiet_from("10:00", "16:00"))
    bench.begin()
    passes(bench, hours=1)
    assert (await bench.until(task, TaskState.FAILED)).rule == "quiet-hours"
    assert bench.charite.sent(TaskAnswer)[-1].rule == "quiet-hours"
    assert len(bench.charite.spent()) == 1


async def test_an_agent_that_starts_again_in_quiet_hours_pauses_under_its_reservation(
    bench, make
):
    task = await in_quiet_hours(bench, make, begin="10:00", end="11:00", due=timedelta(hours=4))
    passes(bench, minutes=61)
    bench.worker.hang = None
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    bench.worker.hang = asyncio.Event()
    await bench.power_cut()
    await bench.worker.hang.wait()
    await bench.eventually(lambda: bench.worker.hints == ["pause", "pause"])
    passes(bench, hours=1)
    bench.worker.last.set()
    await bench.until(task, TaskState.DONE)
    assert len(bench.charite.spent()) == 1


async def test_a_cancel_ends_a_training_that_pauses(bench, make):
    task = await in_quiet_hours(bench, make, begin="10:00", end="11:00", due=timedelta(hours=4))
    passes(bench, minutes=61)
    await bench.eventually(lambda: bench.worker.hints == ["pause"])
    bench.receive(Cancel(task.task, "round-over"))
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed == 1)
    assert bench.presence.paused_until is None


# --- what may break --------------------------------------------------------------------------


async def test_a_worker_that_dies_trains_anew_under_the_same_reservation(bench, charite):
    bench.worker.deaths = 2
    await bench.done(charite.consented())
    assert len(bench.worker.jobs) == 3
    assert len(charite.spent()) == 1


async def test_a_worker_that_always_dies_fails_the_task_and_the_next_one_goes_on(
    bench, charite
):
    document = charite.consented()
    bench.worker.deaths = 3
    task = bench.offer(document)
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "worker-gone"
    await bench.done(document, round_=2)


@pytest.mark.parametrize(
    "error", [Refused("no", rule="data-contract"), Corrupt("no", rule="held-out-secret")]
)
async def test_a_refusal_of_the_worker_is_told_by_its_rule_alone(bench, charite, error):
    bench.worker.error = error
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == error.rule
    assert charite.sent(TaskAnswer)[-1] == TaskAnswer(
        task.task, accepted=False, rule=error.rule
    )
    assert charite.said("task-refused")[0].statement.body["refusal"] == error.rule


async def test_a_fault_of_ours_ends_its_task_and_not_the_agent(bench, charite):
    document = charite.consented()
    bench.worker.error = ZeroDivisionError("a bug")
    task = bench.offer(document)
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "internal-error"
    bench.worker.error = None
    await bench.done(document, round_=2)


async def test_cut_lines_are_waited_out(bench, charite, monkeypatch):
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    task = bench.offer(charite.consented())
    await bench.until(task, TaskState.RESERVING)
    bench.link.broken = 3
    await bench.reserved(task)
    await bench.until(task, TaskState.WORKING, TaskState.SENDING, TaskState.DONE)
    bench.link.broken = 2
    await bench.until(task, TaskState.DONE)


async def test_a_model_that_is_not_what_was_promised_fails_the_task(bench, charite):
    bench.link.files[bench.model] = b"b model"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "digest-mismatch"


async def test_an_update_that_the_coordinator_refuses_is_void(bench, charite):
    bench.link.refuse = "round-over"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    assert (await bench.until(task, TaskState.FAILED)).rule == "round-over"
    (said,) = charite.said("contribution-made")
    assert (said.status, said.rule) == (journal.VOID, "round-over")


async def test_a_chain_that_must_be_mended_does_not_fail_the_task(bench, charite, monkeypatch):
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    bench.link.refuse = "broken-chain"
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.until(task, TaskState.SENDING)
    await bench.eventually(
        lambda: charite.store.look(lambda c: notes.note(c, FEDERATION, notes.RELINK))
    )
    bench.link.refuse = None
    await bench.until(task, TaskState.DONE)
    assert len(charite.said("contribution-made")) >= 2


async def test_a_receipt_that_was_lost_belongs_to_the_statement_that_is_in(
    bench, charite, monkeypatch
):
    """The update is in, its receipt is lost, and something else is said in its place."""
    monkeypatch.setattr("site_agent.duties.random.random", lambda: 0.01)
    monkeypatch.setattr("site_agent.witness.RETRY_S", 0.05)
    whole, log = bench.link.upload, coordinator_of(bench, charite)
    lost = asyncio.Event()

    async def loses_the_receipt(header, chunks):
        receipt = await log(whole, header, chunks)
        if not lost.is_set():
            lost.set()
            say_something(charite)
            raise Unavailable("cut", rule="unavailable")
        return receipt

    bench.link.upload = loses_the_receipt
    witnessing = asyncio.create_task(bench.witness.run())
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await bench.until(task, TaskState.DONE)
    assert not witnessing.done()
    witnessing.cancel()
    key = charite.m.voice.key.key_id
    in_log = {own.statement for own in log.own(key)}
    accepted = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, key, status=journal.ACCEPTED)
    )
    assert {said.statement.digest for said in accepted} == in_log
    (again,) = charite.store.look(
        lambda c: journal.by_key(c, FEDERATION, key, status=journal.QUEUED)
    )
    assert again.statement.kind == "software-started"
    bench.log.append(again.statement)


def say_something(charite):
    from site_agent import voice
    from site_agent.voice import Saying

    body = {"program": "concilium-site", "version": "1", "os": "Linux"}
    charite.store.now(
        lambda c: voice.say(c, charite.m.voice, Saying("software-started", body, "always"))
    )


class coordinator_of:  # noqa: N801 - reads as a function
    """A coordinator that takes what the ledger takes: the others' consent, one round."""

    def __init__(self, bench, charite):
        self.bench, self.charite, self.begun = bench, charite, False

    def begin(self):
        document = self.charite.document()
        log = self.bench.log
        log.propose(document)
        log.take_all_but("budget-reserved")
        log.in_force(document)
        log.open_round(document, model=self.bench.model)
        log.take_all()
        self.begun = True

    async def __call__(self, upload, header, chunks):
        from dataclasses import replace

        if not self.begun:
            self.begin()
        receipt = await upload(header, chunks)
        statement = statements.read(header.statement)
        return replace(receipt, seq=self.bench.log.append(statement))

    def own(self, key):
        from governance.ledger import store as ledger

        with ledger.reading(self.bench.log.engine) as c:
            return list(ledger.own_entries(c, [key]))


# --- broken off ------------------------------------------------------------------------------


async def test_a_cancel_in_the_midst_of_training_kills_the_worker(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    bench.receive(Cancel(task.task, "late"))
    await bench.until(task, TaskState.CANCELLED)
    await bench.eventually(lambda: bench.worker.killed)
    assert bench.link.uploads == {}
    assert len(charite.spent()) == 1


async def test_a_pause_in_the_midst_of_training_cancels_it(bench, charite):
    bench.worker.hang = asyncio.Event()
    document = charite.consented()
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    bench.bell.ring()
    await bench.until(task, TaskState.CANCELLED)
    bench.worker.hang = None
    draft = charite.store.look(lambda c: office.resume_draft(c, charite.m, document))
    charite.deliver(office.sign(draft, officer_of("charite")))
    await bench.done(document, round_=2)


async def test_progress_is_shown_while_it_trains(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    assert (bench.presence.task, bench.presence.steps_done) == (task.task, 2)


async def test_a_power_cut_while_training_trains_anew_and_pays_once(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    bench.worker.hang = None
    await bench.power_cut()
    await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 2
    assert len(charite.spent()) == 1


@pytest.mark.parametrize("control", [False, True])
async def test_a_power_cut_after_the_update_was_whole_sends_it_as_it_is(
    bench, charite, control
):
    strategy = {"name": "scaffold", "server_rate": 1.0} if control else {"name": "fedavg"}
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented(strategy=strategy))
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    made = written(charite.premises.task_folder(FEDERATION, task.task), control=control)
    await bench.power_cut()
    held = await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 1
    assert (held.update.digest, held.update.steps) == (made.digest, 4)
    pending = charite.store.look(lambda c: work.controls(c, FEDERATION, state=work.PENDING))
    assert len(pending) == int(control)


async def test_half_of_what_scaffold_makes_is_not_sent(bench, charite):
    bench.worker.hang = asyncio.Event()
    task = bench.offer(charite.consented(strategy={"name": "scaffold", "server_rate": 1.0}))
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    written(charite.premises.task_folder(FEDERATION, task.task), control=False)
    bench.worker.hang, bench.worker.control = None, True
    await bench.power_cut()
    await bench.until(task, TaskState.DONE)
    assert len(bench.worker.jobs) == 2


async def test_a_power_cut_while_sending_sends_the_rest_of_the_same_update(bench, charite):
    whole, sending = bench.link.upload, asyncio.Event()

    async def hangs(header, chunks):
        bench.link.uploads[header.upload.digest] = b""
        sending.set()
        await asyncio.Event().wait()

    bench.link.upload = hangs
    task = bench.offer(charite.consented())
    await bench.reserved(task)
    await asyncio.wait_for(sending.wait(), PATIENCE_S)
    first = charite.held(task).update.digest
    bench.link.upload = whole
    await bench.power_cut()
    held = await bench.until(task, TaskState.DONE)
    assert held.update.digest == first
    assert len(bench.worker.jobs) == 1
    assert len(charite.said("contribution-made")) == 1


async def test_a_power_cut_before_the_receipt_waits_for_it(bench, charite):
    task = bench.offer(charite.consented())
    await bench.until(task, TaskState.RESERVING)
    await bench.power_cut()
    assert charite.held(task).state is TaskState.RESERVING
    await bench.reserved(task)
    await bench.until(task, TaskState.DONE)


# --- between two steps -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancelled", "withdrawn", "over"])
async def test_nothing_is_signed_or_sent_after_its_task_ended(bench, charite, how):
    """Another process ends the task, and the agent has not heard of it yet."""
    whole, tried = bench.link.upload_status, asyncio.Event()

    async def cut(ref):
        tried.set()
        raise Unavailable("the line is cut", rule="unavailable")

    bench.link.upload_status = cut
    document = charite.proposed()
    charite.consent(document, until=START + timedelta(days=1))
    charite.take(AgreementState(document.digest, "in-force"))
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(tried.wait(), PATIENCE_S)
    await bench.stop()
    held = charite.held(task)
    if how == "cancelled":
        charite.take(Cancel(task.task, "late"))
    elif how == "withdrawn":
        charite.store.now(lambda c: office.withdraw(c, charite.m, document))
    else:
        charite.clock.pass_(days=2)
    bench.link.upload_status = whole
    update = held.update
    ref = UploadRef(task.round, task.attempt, update.digest, update.size)
    path = charite.premises.state / update.path
    with pytest.raises(Refused):
        await contribution.send(charite.m, bench.link, held, ref, path)
    assert bench.link.uploads == {}
    bench.begin()
    await bench.eventually(lambda: charite.held(task).state is TaskState.CANCELLED)
    assert {said.status for said in charite.said("contribution-made")} == {journal.VOID}


async def test_figures_do_not_leave_once_the_consent_is_over(bench, charite):
    document = charite.proposed()
    charite.consent(document, until=START + timedelta(days=1))
    charite.take(AgreementState(document.digest, "in-force"))
    evaluated = bench.worker.evaluate

    async def slowly(job):
        charite.clock.pass_(days=2)
        return await evaluated(job)

    bench.worker.evaluate = slowly
    task = bench.offer(document, kind=TaskKind.EVALUATE)
    await bench.until(task, TaskState.CANCELLED)
    assert charite.said("evaluation-made") == []


async def test_a_pause_whose_bell_was_never_rung_cancels_too(bench, charite, monkeypatch):
    """The command line may be killed between its transaction and the bell."""
    monkeypatch.setattr("site_agent.duties.LOOK_AGAIN_S", 0.05)
    bench.worker.hang = asyncio.Event()
    document = charite.consented()
    task = bench.offer(document)
    await bench.reserved(task)
    await asyncio.wait_for(bench.worker.hang.wait(), PATIENCE_S)
    charite.store.now(lambda c: office.suspend(c, charite.m, document))
    await bench.eventually(lambda: bench.worker.killed)
    assert charite.held(task).state is TaskState.CANCELLED


async def test_terms_that_a_power_cut_left_empty_are_written_again(bench, charite):
    document = charite.consented()
    await bench.done(document)
    bench.worker.jobs[0].document.write_bytes(b"")
    await bench.done(document, round_=2)
    assert bench.worker.jobs[1].document.read_bytes() == document.raw


# --- SCAFFOLD --------------------------------------------------------------------------------


async def test_the_control_variate_of_a_committed_round_goes_into_the_next(bench, charite):
    from site_agent.store.work import COMMITTED

    bench.worker.control = True
    document = charite.consented(strategy={"name": "scaffold", "server_rate": 1.0})
    await bench.done(document)
    (control,) = charite.store.look(lambda c: work.controls(c, FEDERATION, state=work.PENDING))
    charite.store.now(lambda c: work.set_control(c, FEDERATION, control, COMMITTED))
    await bench.done(document, round_=2)
    assert bench.worker.jobs[0].control is None
    assert bench.worker.jobs[1].control == charite.premises.state / control.path
    assert bench.worker.jobs[1].control.exists()


# --- housekeeping ----------------------------------------------------------------------------


async def test_only_the_last_tasks_leave_files(bench, charite):
    document = charite.consented(schedule__rounds=12, privacy__noise_multiplier=8.0)
    for round_ in range(1, 10):
        bench.model = bench.link.serve(f"model {round_}".encode())
        await bench.done(document, round_=round_)
    await bench.until(charite.task(document, round_=9), TaskState.DONE)
    folder = charite.premises.work_of(FEDERATION)
    await bench.eventually(lambda: len(list(folder.rglob("*.safetensors"))) <= 12)
