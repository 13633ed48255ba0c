"""A hospital's own model comes as a wheel, by digest; its code can do no more than train."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

import wheels_made

from governance import models, terminal
from governance.settings import Resources, load_site
from protos.errors import Corrupt, Refused, Unavailable
from site_agent import cli, training, wheels
from site_agent.confinement import Confinement
from site_agent.worker import Worker

LONG = partial(pytest.param, marks=pytest.mark.long)


LONG = partial(pytest.param, marks=pytest.mark.long)


class Approved:
    """A small hospital whose agreement names a wheel that it approved."""

    def __init__(self, hospital, folder, code, **changes):
        folder.mkdir(exist_ok=True)
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        wheel = wheels_made.write(folder / "model.whl", code)
        self.digest = wheels.digest_of(wheel)
        self.path = self.wheels / f"{self.digest}.whl"
        self.path.write_bytes(wheel.read_bytes())
        said = {"name": "own", "wheel": self.digest, "parameters": wheels_made.PARAMETERS}
        self.hospital = hospital(model=said, **changes)

    @property
    def job(self):
        return dataclasses.replace(self.hospital.job(), wheels=self.wheels)


@pytest.fixture
def approved(hospital, tmp_path):
    def make(code=wheels_made.GOOD, **changes):
        return Approved(hospital, tmp_path / "own", code, **changes)

    return make


def trained(job):
    with wheels.served(job.wheels):
        return training.train(job, lambda _: None)


def refused(job):
    with pytest.raises(Refused) as told:
        trained(job)
    return told.value


def test_digest_covers_every_file_by_name_and_content(tmp_path):
    digests = {
        wheels.digest_of(wheels_made.write(tmp_path / f"{n}.whl", *code, **others))
        for n, (code, others) in enumerate(
            [
                ((), {}),
                ((wheels_made.LARGER,), {}),
                ((), {"more.py": "x = 1"}),
                ((), {"more.py": "x = 2"}),
                ((), {"other.py": "x = 1"}),
            ]
        )
    }
    assert len(digests) == 5


def test_digest_is_of_the_files_and_not_of_how_they_are_packed(tmp_path):
    one = wheels_made.write(tmp_path / "a.whl")
    with zipfile.ZipFile(one) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.whl", "w", zipfile.ZIP_DEFLATED) as other:
        for name in sorted(files, reverse=True):
            other.writestr(name, files[name])
    assert wheels.digest_of(one) == wheels.digest_of(tmp_path / "b.whl")


@pytest.mark.parametrize("name", ["../outside.py", "/etc/cron.d/x", "fast.so", "pkg/fast.pyd"])
def test_wheel_with_what_is_no_plain_python_within_it_is_refused(tmp_path, name):
    wheel = wheels_made.write(tmp_path / "w.whl", **{name: "x"})
    with pytest.raises(Refused) as told:
        wheels.digest_of(wheel)
    assert told.value.rule == "bad-wheel"


def test_file_that_is_no_wheel_of_a_model_is_refused(tmp_path):
    (tmp_path / "no.whl").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.whl", "w") as archive:
        archive.writestr("something.py", "")
    for name in ("no.whl", "empty.whl", "missing.whl"):
        with pytest.raises(Refused) as told:
            wheels.digest_of(tmp_path / name)
        assert told.value.rule == "bad-wheel"


def test_wheels_model_trains_as_any_other(approved):
    own = approved()
    made = trained(own.job)
    assert made.steps == 5
    assert made.update.exists()


def test_first_weights_and_shapes_follow_from_the_agreement_without_the_wheel(approved):
    agreement = approved().hospital.agreement
    first = models.initial_state(agreement)
    assert {name: w.shape for name, w in first.items()} == models.parameter_shapes(agreement)
    assert np.abs(first["0.weight"]).max() <= 1 / np.sqrt(2)
    assert not first["0.bias"].any()
    again = models.initial_state(agreement)
    assert all((first[name] == again[name]).all() for name in first)


def test_wheels_code_is_not_run_outside_of_a_confined_worker(approved):
    own = approved()
    told = refused(dataclasses.replace(own.job, wheels=None))
    assert told.rule == "wheel-not-confined"
    with pytest.raises(Refused) as told:
        models.build(own.hospital.agreement)
    assert told.value.rule == "wheel-not-confined"


def test_wheel_that_is_not_here_and_one_that_was_altered_train_nothing(approved):
    own = approved()
    wheels_made.write(own.path, wheels_made.LARGER)
    with pytest.raises(Corrupt) as told:
        trained(own.job)
    assert told.value.rule == "wheel-altered"
    own.path.unlink()
    assert refused(own.job).rule == "wheel-missing"


@pytest.mark.parametrize("code", ["MIXES", "REMEMBERS", "LARGER", "OWN_LAYER"])
def test_model_that_no_clip_bounds_or_that_is_another_one_is_refused(approved, code):
    assert refused(approved(getattr(wheels_made, code)).job).rule == "model-not-trainable"


def test_agreement_that_names_a_wheel_without_its_parameters_is_refused(hospital):
    with pytest.raises(Refused, match="has both"):
        hospital(model={"name": "own", "wheel": "a" * 64})


# --- in the confined worker ----------------------------------------------------------------


async def confined(own):
    """Train in a worker that is confined as a hospital's is."""
    h = own.hospital
    reads = (h.csv, h.folder / "secret", own.wheels)
    confinement = Confinement(reads, h.folder)
    confinement.check()  # else a machine that confines nothing looks as if a model had failed
    worker = Worker(Resources(threads=1), confinement=confinement)
    try:
        return await worker.train(own.job, lambda _: None)
    finally:
        await worker.stop()


@pytest.mark.long
def test_wheels_model_trains_in_a_confined_worker(approved):
    assert asyncio.run(confined(approved())).steps == 5


@pytest.mark.slow
def test_model_that_opens_a_socket_fails_and_reaches_nobody(approved):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        code = wheels_made.CALLS_OUT.replace("{port}", str(listener.getsockname()[1]))
        with pytest.raises(Unavailable) as told:
            asyncio.run(confined(approved(code)))
        assert told.value.rule == "worker-gone"
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["agent.key", LONG("site.db")])
def test_model_that_reads_outside_of_the_cohort_fails(approved, tmp_path, place):
    outside = tmp_path / place
    outside.write_text("secret")
    code = wheels_made.READS.replace("{path!r}", repr(str(outside)))
    with pytest.raises(Unavailable):
        asyncio.run(confined(approved(code)))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["own/wheels/x", LONG("beside")])
def test_model_that_writes_elsewhere_changes_nothing_there(approved, tmp_path, place):
    code = wheels_made.WRITES.replace("{path!r}", repr(str(tmp_path / place)))
    with contextlib.suppress(Unavailable):  # what it sees of /tmp is empty and its own
        asyncio.run(confined(approved(code)))
    assert not (tmp_path / place).exists()


# --- the administrator's verbs -------------------------------------------------------------


@pytest.fixture
def program(hospital, tmp_path, monkeypatch, capsys):
    home = hospital()
    home.write_site("lakeside")
    monkeypatch.chdir(home.folder)

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["concilium-site", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            terminal.run(cli.app)
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    call.folder = home.folder
    return call


def test_approve_keeps_the_wheel_and_prints_its_digest(program, tmp_path):
    wheel = wheels_made.write(tmp_path / "own.whl")
    code, out, err = program("approve", wheel)
    assert (code, out.strip()) == (0, wheels.digest_of(wheel))
    assert (program.folder / "state" / "wheels" / f"{out.strip()}.whl").exists()
    assert "policy.models" in err


def test_approve_of_what_is_no_wheel_exits_2(program, tmp_path):
    (tmp_path / "x.whl").write_text("x")
    code, _, err = program("approve", tmp_path / "x.whl")
    assert code == 2
    assert "[bad-wheel]" in err


def test_each_wheel_is_listed_with_its_standing(program, tmp_path):
    site = program.folder / "site.yaml"
    kept, altered = (
        program("approve", wheels_made.write(tmp_path / f"{n}.whl", more=str(n)))[1].strip()
        for n in range(2)
    )
    missing = "c" * 64
    said = yaml.safe_load(site.read_text())
    said["policy"]["models"] = ["builtin:linear", altered, missing]
    site.write_text(yaml.safe_dump(said))
    wheels_made.write(program.folder / "state" / "wheels" / f"{altered}.whl", more="other")
    standing = {row[0]: row[2] for row in wheels.rows(load_site(site))}
    assert standing[kept[:12]] == "not approved: not in policy.models"
    assert standing[altered[:12]] == "ALTERED since it was approved"
    assert standing[missing[:12]].startswith("approved, but not here")
    program("approve", wheels_made.write(tmp_path / "again.whl", more="1"))
    assert {row[2] for row in wheels.rows(load_site(site))} >= {"may train"}
