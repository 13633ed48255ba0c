"""Values planted in a hospital's records are in no byte that leaves it, nor in any log."""

from __future__ import annotations

import base64
import json
import struct

import canaries
import pytest
import standing
import yaml
from relay import relaying
from standing import SITES, edited

NAME = SITES[0]


@pytest.fixture(
    scope="module", params=["exact", pytest.param("noised", marks=pytest.mark.long)]
)
def month(request, proposed, tmp_path_factory):
    """What left a hospital with canaries over a whole agreement, and what others keep."""
    place = tmp_path_factory.mktemp("canaries")
    fed = federation(request.param, proposed, place)
    records = fed.site_file(NAME).parent / "patients.csv"
    canaries.plant(records)
    try:
        with recorded(fed) as relay:
            said = [fed.site(NAME, verb) for verb in ("check", "preflight", "review")]
            fed.run(*SITES)
            said += [fed.consent(name) for name in SITES]
            fed.until(lambda: fed.status()["state"].endswith("is complete"), why="for the end")
            said += [fed.site(NAME, verb) for verb in ("status", "budget", "sent")]
            logs = {name: running.said for name, running in fed.running.items()}
            yield fed, relay, said, logs
    finally:
        fed.end()


def federation(how, proposed, place):
    if how == "exact":
        return standing.copied(proposed, place / "fed")
    noised = {"noised": {"epsilon_total": 4.0, "every": 1}, "minimum": 10}
    changes = {
        "privacy.metrics": noised,
        "privacy.budget.epsilon": 8.0,
        "quality.accept_if": None,
        "schedule.rounds": 1,
    }
    standing.found(place / "first", standing.of_three(place / "three.yaml", **changes))
    return standing.copied(place / "first", place / "fed")


def recorded(fed):
    """Start the coordinator, and put a recorder into the hospital's line."""
    fed.serve()
    folder = fed.site_file(NAME).parent
    (federation,) = yaml.safe_load(fed.site_file(NAME).read_text())["federations"]
    ends = {"coordinator": fed.coordinator / "keys", "site": folder / federation["folder"]}
    return Through(fed, relaying(**ends, target=federation["coordinator"]))


class Through:
    """A line of which every byte is kept."""

    def __init__(self, fed, line):
        self.fed, self.line = fed, line

    def __enter__(self):
        port, relay = self.line.__enter__()
        moved = {"coordinator": f"localhost:{port}"}
        edited(self.fed.site_file(NAME), lambda said: said["federations"][0].update(moved))
        return relay

    def __exit__(self, *problem):
        return self.line.__exit__(*problem)


def on_disk(folder):
    """Return every file of a folder, by name."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nothing_of_it(what, haystack):
    found = canaries.found_in(haystack, canaries.texts() + canaries.numbers())
    assert not found, f"{what} holds {found}"


def test_the_search_finds_what_it_is_for(proposed, tmp_path):
    fed = standing.copied(proposed, tmp_path / "fed")
    records = fed.site_file(NAME).parent / "patients.csv"
    nothing_of_it("the file before", records.read_bytes())
    canaries.plant(records)
    whole = records.read_bytes()
    assert len(canaries.found_in(whole, canaries.texts())) >= 4
    inside = canaries.found_in(base64.b64encode(b"x" + whole), canaries.texts())
    assert inside
    row = struct.pack("<3d", 1.0, canaries.LENGTH / 1000, 2.0)
    assert canaries.found_in(row, canaries.numbers())
    normal = (canaries.LENGTH / 1000 - 14.1) / 3.52
    assert canaries.found_in(struct.pack("<2f", 0.5, normal), canaries.single())


def test_no_canary_is_in_a_message_on_the_line(month):
    _, relay, _, _ = month
    messages = [one.raw for one in relay.heard]
    assert sum(map(len, messages)) > 10_000
    for raw in messages:
        nothing_of_it("a message", raw)
        assert not canaries.found_in(raw, canaries.single())
    nothing_of_it("the line", b"".join(messages))


def test_no_canary_is_on_the_coordinators_disk_nor_in_the_ledger(month):
    fed, _, _, _ = month
    files = on_disk(fed.coordinator)
    assert any(path.name == "coordinator.db" for path in files)
    for path, content in files.items():
        nothing_of_it(path, content)
    envelopes = [row[0] for row in fed.rows("SELECT envelope FROM entries")]
    for envelope in envelopes:
        payload = base64.b64decode(json.loads(envelope)["payload"])
        nothing_of_it("an entry", payload)


def test_no_canary_is_in_another_hospitals_folder(month):
    fed, _, _, _ = month
    for name in SITES[1:]:
        for path, content in on_disk(fed.site_file(name).parent / "state").items():
            nothing_of_it(path, content)


def test_no_canary_is_in_a_log_or_in_what_a_program_printed(month):
    _, _, said, logs = month
    assert all(logs.values())
    for name, text in logs.items():
        nothing_of_it(f"the log of {name}", text.encode())
    for one in said:
        nothing_of_it("what was printed", f"{one.out}{one.err}".encode())


def test_records_that_break_the_contract_are_refused_by_rule_and_not_by_value(
    proposed, tmp_path
):
    fed = standing.copied(proposed, tmp_path / "fed")
    try:
        with recorded(fed) as relay:
            fed.run(*SITES)
            assert fed.consent(NAME).code == 0
            # Between the consent and the first task somebody delivers a broken file.
            canaries.plant(fed.site_file(NAME).parent / "patients.csv", broken=True)
            for name in SITES[1:]:
                assert fed.consent(name).code == 0
            fed.until(lambda: fed.entries("task-refused"), why="for the refusal")
            said = [fed.site(NAME, verb) for verb in ("check", "preflight", "status")]
            assert said[0].code == 1
            logs = {name: running.said for name, running in fed.running.items()}
            for one in said:
                nothing_of_it("what was printed", f"{one.out}{one.err}".encode())
            for name, text in logs.items():
                nothing_of_it(f"the log of {name}", text.encode())
            nothing_of_it("the line", b"".join(one.raw for one in relay.heard))
            for path, content in on_disk(fed.coordinator).items():
                nothing_of_it(path, content)
    finally:
        fed.end()
