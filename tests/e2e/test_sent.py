"""`sent` against a recording of the line, between real processes, over a normal month."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import pytest
import yaml
from relay import relaying
from standing import SITES, edited

from protos import codec
from protos.concilium.v1 import federation_pb2
from protos.words import Heartbeat, UploadHeader

NAME = SITES[0]
MONTH = {
    *("hello", "heartbeat", "task-answer", "cosignature"),
    *("entries-request", "consistency-request", "download-request"),
    *("software-started", "consent-given", "data-declared", "consent-suspended"),
    *("consent-resumed", "budget-reserved", "contribution-made", "update", "evaluation-made"),
}
"""All that a hospital sends between its enrolment and the renewal of its certificate."""


def listed(fed):
    said = fed.site(NAME, "sent", "--format", "json")
    assert said.code == 0, said
    return {row["n"]: row for row in json.loads(said.out)["rows"]}


def digest(raw):
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture(scope="module")
def month(proposed, tmp_path_factory):
    """What was listed before, what after two rounds and a pause, and what the line heard."""
    import standing

    fed = standing.copied(proposed, tmp_path_factory.mktemp("month") / "fed")
    place = fed.site_file(NAME).parent
    (federation,) = yaml.safe_load(fed.site_file(NAME).read_text())["federations"]
    before = listed(fed)
    fed.serve()
    ends = {"coordinator": fed.coordinator / "keys", "site": place / federation["folder"]}
    try:
        with relaying(**ends, target=federation["coordinator"]) as (port, relay):
            moved = {"coordinator": f"localhost:{port}"}
            edited(fed.site_file(NAME), lambda said: said["federations"][0].update(moved))
            fed.run(*SITES)
            assert fed.consent(NAME).code == 0
            assert fed.site(NAME, "pause").code == 0
            assert fed.site(NAME, "resume", *fed.secret).code == 0
            for name in SITES[1:]:
                assert fed.consent(name).code == 0
            fed.until(lambda: fed.status()["state"].endswith("is complete"), why="for the end")
            assert fed.stop(NAME).code in {0, 130, -15}
            yield fed, before, listed(fed), list(relay.heard)
    finally:
        fed.end()


def beats(heard):
    sessions = [one.raw for one in heard if one.method == "Session"]
    return [raw for raw in sessions if isinstance(codec.from_site_parse(raw).body, Heartbeat)]


def parts(heard):
    """Return each upload's file, as far as it was sent, by its digest."""
    files = {}
    name = {}
    for one in heard:
        if one.method == "Upload":
            said = codec.upload_part_in(federation_pb2.UploadPart.FromString(one.raw))
            if isinstance(said, UploadHeader):
                name[one.call] = said.upload.digest
            else:
                files[name[one.call]] = files.get(name[one.call], b"") + said
    return files


def test_a_month_sends_every_kind_of_message(month):
    _, before, after, _ = month
    assert {row["kind"] for place, row in after.items() if place not in before} >= MONTH - {
        "heartbeat"
    }
    assert "heartbeat" in {row["kind"] for row in after.values()}


def test_each_message_on_the_line_is_listed_with_its_very_bytes_and_nothing_else(month):
    _, before, after, heard = month
    new = [row for place, row in after.items() if place not in before]
    apart = {"heartbeat", "update"}
    files, quiet = parts(heard), set(beats(heard))
    messages = [
        one.raw
        for one in heard
        if one.raw not in quiet
        and not (
            one.method == "Upload"
            and not isinstance(
                codec.upload_part_in(federation_pb2.UploadPart.FromString(one.raw)),
                UploadHeader,
            )
        )
    ]
    rows = Counter((row["digest"], row["bytes"]) for row in new if row["kind"] not in apart)
    assert rows == Counter((digest(raw), len(raw)) for raw in messages)
    updates = {row["digest"]: row["bytes"] for row in new if row["kind"] == "update"}
    assert updates == {digest(file): len(file) for file in files.values()}


def test_heartbeats_are_counted_with_their_bytes(month):
    _, before, after, heard = month

    def total(rows):
        found = [row for row in rows.values() if row["kind"] == "heartbeat"]
        return sum(row["messages"] for row in found), sum(row["bytes"] for row in found)

    (count, size), (count_before, size_before) = total(after), total(before)
    raw = beats(heard)
    assert (count - count_before, size - size_before) == (len(raw), sum(map(len, raw)))


def test_every_message_of_the_list_is_said_in_words(month):
    fed, before, after, _ = month
    kinds = {row["kind"]: place for place, row in after.items() if place not in before}
    for kind, place in kinds.items():
        said = fed.site(NAME, "sent", "--dump", place)
        assert said.code == 0, said
        assert said.out.startswith(kind)
        assert after[place]["digest"] in said.out
        assert "not kept: it left before" not in said.out
