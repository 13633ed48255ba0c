"""Patients' files that cannot be read, or do not keep the contract."""

from __future__ import annotations

import csv
import shutil

import pytest
from programs import SITE, call, done, refused
from standing import DEMO, agreement_with, edited


class Hospital:
    """One hospital's folder, not enrolled anywhere."""

    def __init__(self, folder):
        shutil.copytree(DEMO / "sites" / "north-general", folder)
        self.settings, self.patients = folder / "site.yaml", folder / "patients.csv"
        with self.patients.open(newline="", encoding="utf-8") as file:
            self.rows = list(csv.reader(file))

    def write(self, rows):
        with self.patients.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def check(self, agreement=DEMO / "agreement.yaml", **how):
        return call(SITE, "check", agreement, "--site", self.settings, **how)

    def column(self, name):
        return self.rows[0].index(name)


@pytest.fixture
def hospital(tmp_path):
    return Hospital(tmp_path / "hospital")


def without_column(hospital):
    place = hospital.column("area_mean")
    hospital.write([[*row[:place], *row[place + 1 :]] for row in hospital.rows])


def of_words(hospital):
    place = hospital.column("area_mean")
    head, *rows = hospital.rows
    hospital.write(
        [head, *([*r[:place], f"large{i}", *r[place + 1 :]] for i, r in enumerate(rows))]
    )


def empty(hospital):
    hospital.patients.write_bytes(b"")


def header_alone(hospital):
    hospital.write(hospital.rows[:1])


def latin_1(hospital):
    head, first, *rows = hospital.rows
    text = "\n".join(",".join(row) for row in [head, ["Müller", *first[1:]], *rows])
    hospital.patients.write_bytes(text.encode("latin-1"))


def ragged(hospital):
    hospital.write([*hospital.rows[:9], hospital.rows[9][:-1], *hospital.rows[10:]])


def gone(hospital):
    hospital.patients.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_column, ["patients.csv", "no column area_mean", "Mend `map` in site.yaml"]),
        (of_words, ["patients.csv", "area_mean"]),
        (empty, ["patients.csv", "the file is empty", "It needs a header"]),
        (header_alone, ["patients.csv", "a header and no records"]),
        (latin_1, ["patients.csv:2", "the bytes of line 2 are not utf-8", "encoding: latin-1"]),
        (ragged, ["patients.csv:10", "line 10 has 31 cells, but the header has 32"]),
        (gone, ["patients.csv", "cannot be read", "Mend `source`"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_cannot_be_read_is_said_with_its_place(hospital, spoil, words):
    spoil(hospital)
    said = refused(hospital.check(), *words)
    for secret in ("Müller", "large7", hospital.rows[1][0]):
        assert secret not in said.out + said.err
    hospital.write(hospital.rows)
    assert hospital.check().code == 0


def test_data_that_breaks_the_contract_is_a_finding_in_counts_alone(hospital):
    place = hospital.column("area_mean")
    head, *rows = hospital.rows
    strange = [[*r[:place], f"{77_000 + i}", *r[place + 1 :]] for i, r in enumerate(rows[:60])]
    hospital.write([head, *strange, *rows[60:]])
    said = hospital.check()
    assert said.code == 1, said
    assert "area_mean" in said.out
    assert "60" in said.out
    assert "7700" not in said.out + said.err
    hospital.write([head, *rows[:30]])
    assert hospital.check().code == 1
    hospital.write(hospital.rows)
    assert hospital.check().code == 0


def test_a_million_records_are_checked_in_little_memory(hospital, tmp_path):
    agreement = agreement_with(tmp_path / "three-features.yaml", {})

    def few(said):
        said["data"]["features"] = said["data"]["features"][:3]

    edited(agreement, few)
    head, *rows = (row[:5] for row in hospital.rows)
    radius, texture = (hospital.column(name) for name in ("radius_mean", "texture_mean"))
    with hospital.patients.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(head)
        for number in range(1_000_000):
            row = list(rows[number % len(rows)])
            row[0] = f"P{number:07d}"
            row[radius] = f"{10 + number % 1000 / 100}"
            row[texture] = f"{10 + number // 1000 / 100}"
            lines.writerow(row)
    small = ("/usr/bin/env", "bash", "-c", 'ulimit -v 4000000; exec "$@"', "bash")
    said = done(*small, SITE, "check", agreement, "--site", hospital.settings)
    assert "1000000" in said
