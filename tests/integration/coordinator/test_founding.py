"""`init`: a federation that `serve` runs at once, or a sentence and nothing left behind."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from federations import Here
from folders import Folders, free_port
from jsonschema import Draft202012Validator

from coordinator import founding
from governance.yaml_positions import read
from protos.errors import Refused


def outline():
    return founding.Outline(
        federation="hearts",
        host="localhost",
        listen=f"127.0.0.1:{free_port()}",
        enrolment=f"127.0.0.1:{free_port()}",
        operator="van-dijk",
    )


def found(place, what):
    return founding.found(place, what, passphrase=b"correct horse", now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("part", "value", "rule"),
    [
        ("federation", "Hearts of Europe", "bad-name"),
        ("operator", "Jan van Dijk", "bad-name"),
        ("host", "fed.example.org:8443", "bad-host"),
        ("listen", "8443", "usage"),
        ("enrolment", "127.0.0.1:99999", "usage"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path, part, value, rule):
    place = tmp_path / "fed"
    with pytest.raises(Refused) as caught:
        found(place, replace(outline(), **{part: value}))
    assert caught.value.rule == rule
    assert value in caught.value.what
    assert not place.exists()


def test_one_port_for_members_and_newcomers_is_refused(tmp_path):
    here = outline()
    with pytest.raises(Refused, match="two ports"):
        found(tmp_path / "fed", replace(here, enrolment=here.listen))


def test_the_folder_that_it_makes_is_its_owners_alone(tmp_path):
    found(tmp_path / "studies" / "fed", outline())
    assert (tmp_path / "studies" / "fed").stat().st_mode & 0o777 == 0o700


def test_the_settings_are_right_by_the_schema_beside_them(tmp_path):
    place = tmp_path / "fed"
    found(place, outline())
    first, *_ = (place / "coordinator.yaml").read_text().splitlines()
    schema = json.loads((place / first.partition("$schema=")[2]).read_text())
    value = json.loads(json.dumps(read(place / "coordinator.yaml").value))
    assert list(Draft202012Validator(schema).iter_errors(value)) == []


async def test_a_federation_serves_at_once_and_wherever_its_folder_is_moved(tmp_path):
    found(tmp_path / "made", outline())
    (tmp_path / "made").rename(tmp_path / "coordinator")
    fed = await Here(Folders(tmp_path)).start()
    try:
        status = await fed.status()
        assert status.state == "no agreement is proposed"
        assert not (tmp_path / "made").exists()
    finally:
        await fed.end()


async def test_nobody_can_dial_the_enrolment_port_before_somebody_is_invited(tmp_path):
    here = outline()
    found(tmp_path / "coordinator", here)
    fed = await Here(Folders(tmp_path)).start()
    host, _, port = here.enrolment.rpartition(":")
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))
        await fed.invite("site", "amc")
        socket.create_connection((host, int(port))).close()
    finally:
        await fed.end()
