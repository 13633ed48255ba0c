"""site.yaml on the first day: from questions or flags, with columns proposed from the file."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from governance.agreement.schema import UNSAFE_TERMS
from governance.settings import load_site
from governance.yaml_positions import read
from protos.errors import Refused
from site_agent import outline
from site_agent.data import sample
from site_agent.outline import Said

DEMO = Path(__file__).parents[3] / "configs" / "breast-cancer"
PATIENCE_S = 120
PROGRAM = Path(sys.executable).with_name("concilium-site")
MESSY = "Fallnr;Alter;Geschlecht;Chol;Notiz;Tod30\n" + "".join(
    f"{1000 + n};{20 + n % 60};{'MW'[n % 2]};{4 + n % 3},{n % 10};frei {n};{'JN'[n % 3 == 0]}\n"
    for n in range(120)
)


def written(place, **said):
    file = place / "site.yaml"
    outline.write(file, outline.made(Said(**{"name": "charite", **said}), place, None))
    return file, load_site(file)


def features(*, died="binary"):
    """Return an agreement with the features of the messy file."""
    from hospital import TERMS, changed

    def real():
        return {"unit": "1", "kind": "real", "missing": {"at_most": 0.1, "fill": 100}}

    terms = changed(TERMS, {"sites.roster": ["charite", "amc", "ucl"]})
    terms["operators"] = {"keys": ["ops"]}
    terms["data"]["target"] = {"name": "tod_30", "kind": died, "prevalence": [0.1, 0.9]}
    terms["data"]["features"] = [
        {"name": "age", "range": [18, 110], "reference": {"mean": 50, "std": 15}, **real()},
        {"name": "chol", "range": [100, 400], "reference": {"mean": 200, "std": 40}, **real()},
        {"name": "sex", "kind": "category", "values": ["male", "weiblich"]},
        {"name": "sbp", "range": [40, 300], "reference": {"mean": 130, "std": 20}, **real()},
    ]
    return terms


@pytest.fixture
def messy(tmp_path):
    (tmp_path / "ami.csv").write_bytes(MESSY.encode("latin-1"))
    (tmp_path / "agreement.yaml").write_text(yaml.safe_dump(features(), sort_keys=False))
    return tmp_path


def test_a_messy_file_is_recognised(messy):
    seen = sample.look(messy / "ami.csv")
    assert (seen.encoding, seen.decimal) == ("utf-8", "comma")
    assert seen.patient_column() == "Fallnr"
    kinds = {one.name: one.numbers is not None for one in seen.columns}
    assert kinds == {
        "Fallnr": True,
        "Alter": True,
        "Geschlecht": False,
        "Chol": True,
        "Notiz": False,
        "Tod30": False,
    }


def test_latin_1_is_recognised_wherever_the_first_umlaut_stands(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,a\n" + b"1,2\n" * 9000 + "2,Größe\n".encode("latin-1"))
    assert sample.look(path).encoding == "latin-1"


def test_columns_units_and_codes_are_proposed_for_an_agreement(messy):
    file, settings = written(messy, csv="ami.csv", agreement=messy / "agreement.yaml")
    cohort = settings.cohorts["patients"]
    assert cohort.patient_id == "Fallnr"
    assert cohort.source.decimal == "comma"
    mapped = {name: one.column for name, one in cohort.map.items()}
    assert mapped == {"tod_30": "Tod30", "age": "Alter", "chol": "Chol", "sex": "Geschlecht"}
    assert cohort.map["tod_30"].codes == {"J": "1", "N": "0"}
    assert cohort.map["sex"].codes == {"M": "male", "W": "weiblich"}
    assert cohort.map["chol"].scale == pytest.approx(38.67)
    text = file.read_text()
    assert "# sbp: {column: …}      # LOOK: no column is called so" in text
    assert "Columns that are not used: Notiz" in text


def proposed(place, header, cells, feature):
    """Return the lines proposed for one feature from a column of these cells."""
    terms = features()
    terms["data"]["features"] = [feature]
    terms["data"]["target"] = {"name": "died", "kind": "binary", "prevalence": [0.1, 0.9]}
    (place / "agreement.yaml").write_text(yaml.safe_dump(terms, sort_keys=False))
    rows = [f"p{n};{n % 2};{cells[n % len(cells)]}" for n in range(120)]
    (place / "p.csv").write_text("\n".join([f"id;died;{header}", *rows, ""]))
    said = {"csv": "p.csv", "agreement": place / "agreement.yaml"}
    file, settings = written(place, **said)
    name = feature["name"]
    line = next(one for one in file.read_text().splitlines() if f"{name}: {{" in one)
    return settings.cohorts["patients"].map.get(name), line, file.read_text()


def real(name, unit, low, high, mean, std):
    reference = {"mean": mean, "std": std}
    missing = {"at_most": 0.5, "fill": mean}
    return {
        "name": name, "kind": "real", "unit": unit, "range": [low, high],
        "reference": reference, "missing": missing,
    }  # fmt: skip


CHOLESTEROL = real("cholesterol", "mg/dl", 70, 700, 240, 50)
HEIGHT = real("height", "cm", 100, 230, 172, 10)


@pytest.mark.parametrize(
    ("header", "cells", "feature", "scale"),
    [
        ("Cholesterin (mmol/l)", ["5,8", "6,3", "7,1"], CHOLESTEROL, 38.67),
        ("CHOL_MMOL", ["5,8", "6,3", "7,1"], CHOLESTEROL, 38.67),
        ("Colesterolo [g/l]", ["2,1", "2,4", "2,6"], CHOLESTEROL, 100),
        ("Größe (m)", ["1,72", "1,65", "1,80"], HEIGHT, 100),
        ("height_in", ["68", "65", "70"], HEIGHT, 2.54),
    ],
)
def test_a_unit_is_told_from_the_header_or_from_the_values_and_is_to_be_looked_at(
    tmp_path, header, cells, feature, scale
):
    mapped, line, _ = proposed(tmp_path, header, cells, feature)
    assert mapped.column == header
    assert mapped.scale == pytest.approx(scale)
    assert "LOOK" in line


def test_a_header_with_the_agreements_unit_leaves_nothing_to_look_at(tmp_path):
    mapped, line, _ = proposed(tmp_path, "Cholesterol (mg/dL)", ["230", "250"], CHOLESTEROL)
    assert mapped.scale == 1
    assert "LOOK" not in line


def test_units_without_a_certain_conversion_are_asked_for_and_never_guessed(tmp_path):
    albumin = real("albumin", "g/l", 10, 70, 40, 5)
    mapped, line, _ = proposed(tmp_path, "Albumin (mmol/l)", ["0,6", "0,7"], albumin)
    assert mapped.scale == 1
    assert "LOOK: it is in mmol/l, the agreement in g/l: which scale and offset?" in line


def test_a_number_that_may_stand_for_no_value_is_asked_about(tmp_path):
    cells = ["240", "230", "250", "-9"]
    mapped, _, text = proposed(tmp_path, "Cholesterol", cells, CHOLESTEROL)
    assert mapped.codes is None
    assert '# LOOK: does -9 say that there is no value? Then codes: {"-9": missing}' in text


SEX = {"name": "sex", "kind": "category", "values": ["female", "male"]}


def test_codes_of_well_known_words_are_explained(tmp_path):
    mapped, line, _ = proposed(tmp_path, "Geschlecht", ["W", "M", "unbekannt"], SEX)
    assert mapped.codes == {"M": "male", "W": "female", "unbekannt": "missing"}
    assert "LOOK" not in line


def test_codes_that_nobody_can_be_sure_of_are_asked_about(tmp_path):
    mapped, line, _ = proposed(tmp_path, "Sexe", ["1", "2"], SEX)
    assert mapped.codes is None
    assert "LOOK: what are 1, 2?" in line


def test_without_an_agreement_each_column_is_listed_with_its_kind(messy):
    file, settings = written(messy, csv="ami.csv")
    assert set(settings.cohorts["patients"].map) == {
        "alter",
        "geschlecht",
        "chol",
        "notiz",
        "tod30",
    }
    assert "# codes: M, W" in file.read_text()


@pytest.mark.parametrize(
    "columns",
    [
        "a: b",
        "a #b",
        "'a",
        '"a"',
        "{a}",
        "- a",
        "yes",
        "1a",
        "Größe (cm)",
        "ä,b",
        "[x]",
    ],
)
def test_any_column_name_is_read_back(tmp_path, columns):
    header = '"' + columns.replace('"', '""') + '"'
    (tmp_path / "p.csv").write_text(f"id;{header}\n" + "".join(f"p{n};{n}\n" for n in range(9)))
    _, settings = written(tmp_path, csv="p.csv", patient_id=columns)
    assert settings.cohorts["patients"].patient_id == columns


@pytest.mark.parametrize("name", ["north-general", "harbour-university", "lakeside"])
def test_the_demonstrations_hospitals_get_files_that_are_valid(tmp_path, name):
    source = DEMO / "sites" / name / "patients.csv"
    if not source.exists():
        pytest.skip("the demonstration's patients are not made yet")
    _, settings = written(tmp_path, csv=str(source), agreement=DEMO / "agreement.yaml")
    own = load_site(DEMO / "sites" / name / "site.yaml").cohorts["needle-aspirates"]
    cohort = settings.cohorts["patients"]
    assert cohort.patient_id == own.patient_id
    sure = {feature: one.column for feature, one in cohort.map.items()}
    right = [feature for feature, column in sure.items() if own.map[feature].column == column]
    assert len(right) == len(sure)


def test_no_unsafe_term_is_ever_written(messy):
    file, settings = written(messy, csv="ami.csv", agreement=messy / "agreement.yaml")
    assert settings.policy.unsafe == ()
    assert settings.resources.isolation == "required"
    assert not any(term in file.read_text() for term in UNSAFE_TERMS)


def test_a_file_that_was_named_and_is_not_there_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(Refused, match=r"gone\.csv") as told:
        written(tmp_path, csv="gone.csv")
    assert "--csv" in told.value.todo
    assert not (tmp_path / "site.yaml").exists()


def test_a_file_that_nobody_named_is_mapped_by_hand(tmp_path):
    _, settings = written(tmp_path)
    assert list(settings.cohorts["patients"].map) == ["age"]


def test_an_answer_that_names_no_file_is_noted_and_mapped_by_hand(tmp_path, capsys):
    made = outline.made(Said(csv=None), tmp_path, lambda question: "")
    assert "patients.csv" in capsys.readouterr().err
    assert made.csv == "patients.csv"


def test_without_a_terminal_a_name_must_be_said(tmp_path):
    with pytest.raises(Refused, match="name"):
        outline.made(Said(), tmp_path, None)


def test_what_cannot_be_is_asked_again(messy, capsys):
    answers = iter(["Charité", "charite", "nowhere", "fed.example.org:8443", "hearts"])
    rest = iter(["nothing.yaml", str(messy / "agreement.yaml"), "ami.csv"])

    def ask(question):
        return next(answers, None) or next(rest, "")

    made = outline.made(Said(), messy, ask)
    assert (made.name, made.coordinator) == ("charite", "fed.example.org:8443")
    assert made.folder == "enrolled/hearts"
    assert made.patient_id == "Fallnr"
    assert any(line.startswith("age: {column: Alter") for line in made.lines)
    assert "host:port" in capsys.readouterr().err


def test_it_asks_on_a_terminal(messy):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, "init"],
        cwd=messy,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as program:
        os.close(theirs)
        late = threading.Timer(PATIENCE_S, program.kill)
        late.start()
        os.write(
            ours, b"charite\nfed.example.org:8443\nhearts\nagreement.yaml\nami.csv\n\n\n\n\n"
        )
        said = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            said += part
        late.cancel()
    os.close(ours)
    assert program.returncode == 0, said.decode()
    assert "Its column of patients [Fallnr]" in said.decode()
    settings = load_site(messy / "site.yaml")
    assert settings.federations[0].folder == messy / "enrolled" / "hearts"
    assert settings.policy.cap.epsilon == 8


def test_an_editor_finds_the_schema_beside_the_file_and_the_file_right_by_it(tmp_path):
    file, _ = written(tmp_path)
    first, *_ = file.read_text().splitlines()
    schema = json.loads((tmp_path / first.partition("$schema=")[2]).read_text())
    value = json.loads(json.dumps(read(file).value))
    assert list(Draft202012Validator(schema).iter_errors(value)) == []
