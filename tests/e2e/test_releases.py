"""A model leaves the federation: released, checked by others, used at a hospital, recalled."""

from __future__ import annotations

import csv
import json

from programs import LEDGER, call, done, refused
from standing import SITES


def test_a_model_is_released_fetched_used_and_recalled(fed, tmp_path):
    fed.serve()
    fed.run(*SITES)
    for name in SITES:
        assert fed.consent(name).code == 0
    fed.until(lambda: fed.entries("agreement-complete"), why="for two rounds")
    place = tmp_path / "release-v1"
    said = fed.operator("release", 2, "--name", "v1", "--out", place, "--yes")
    assert said.code == 0, said
    assert "Known limits" in said.err

    keys = tmp_path / "hospitals.keys"
    keys.write_text("".join(fed.site(name, "key").out for name in SITES))
    proven = json.loads(
        done(LEDGER, "verify-release", place, "--trust", keys, "--format", "json")
    )
    assert proven["proven"]
    assert proven["rounds"] == [1, 2]
    assert len(proven["witnesses"]) >= 2
    (place / "model.safetensors").write_bytes(b"another")
    assert call(LEDGER, "verify-release", place).code == 1

    name = SITES[0]
    said = fed.site(name, "fetch", "v1")
    assert said.code == 0, said
    patients = fed.site_file(name).parent / "patients.csv"
    scores = tmp_path / "scores.csv"
    said = fed.site(name, "predict", patients, "--out", scores)
    assert said.code == 0, said
    with scores.open() as file:
        _, *rows = csv.reader(file)
    assert len(rows) > 20
    assert all(0 <= float(score) <= 1 for _, score in rows)
    refused(fed.site(name, "predict", patients, "--out", scores), "there is a file already")
    assert "fetched" in fed.site(name, "models").out
    fed.until(lambda: fed.entries("release-fetched"), why="for the hospital to say so")

    said = fed.operator("give", "v1", "--to", "a registry")
    assert said.code == 0, said
    said = fed.operator("recall", "v1", "--reason", "wrong target", "--yes")
    assert said.code == 0, said
    for site in SITES[:2]:
        fed.until(
            lambda site=site: "recalled" in fed.site(site, "models").out.casefold(),
            why=f"for {site} to learn of the recall",
        )
    refused(fed.site(SITES[1], "fetch", "v1"), "was recalled")
    refused(fed.site(name, "predict", patients, "--out", tmp_path / "more.csv"), "was recalled")
    assert "stop using it" in fed.site(name, "status").out
    told = json.loads(fed.auditor("releases", "v1", "--format", "json").out)
    assert [event["what"] for event in told["rows"]] == [
        "published",
        "fetched",
        "given",
        "recalled",
    ]
    assert fed.verified()["entries"]
