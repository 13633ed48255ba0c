"""The schemas handed to editors and the models that validate say the same of every file."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from governance import json_schemas
from governance.agreement.load import load
from governance.settings import load_coordinator, load_site
from governance.yaml_positions import read
from protos.errors import Refused

ROOT = Path(__file__).parents[3]
LOADS = {"agreement": load, "site": load_site, "coordinator": load_coordinator}
FILES = [
    path for path in sorted(ROOT.glob("configs/**/*.yaml")) if path.stem in json_schemas.MODELS
]
EXAMPLE = ROOT / "configs" / "agreement-example"


def faults(name, value):
    validator = Draft202012Validator(json_schemas.schema(name))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def content(path):
    return json.loads(json.dumps(read(path).value))


@pytest.mark.parametrize("name", json_schemas.MODELS)
def test_a_schema_is_one_of_its_draft(name):
    made = json_schemas.schema(name)
    Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_to_start_from_is_right_by_its_schema(path):
    assert faults(path.stem, content(path)) == []


@pytest.mark.parametrize("name", json_schemas.MODELS)
def test_every_key_says_what_it_means(name):
    for section in json_schemas.sections(json_schemas.MODELS[name]):
        keys = {field.alias or key for key, field in section.model_fields.items()}
        assert set(json_schemas.meanings(section)) == keys, section.__name__


def test_no_sentence_is_of_a_section_or_key_that_there_is_not():
    known = {
        section.__name__
        for model in json_schemas.MODELS.values()
        for section in json_schemas.sections(model)
    }
    assert set(json_schemas._catalogue()) == known


def changed(value, path, new):
    value = copy.deepcopy(value)
    *above, last = path
    at = value
    for step in above:
        at = at[step]
    if new is None:
        del at[last]
    else:
        at[last] = new
    return value


WRONG = [
    ("agreement", ("agreement",), 2),
    ("agreement", ("tilte",), "A study"),
    ("agreement", ("title",), None),
    ("agreement", ("federation",), "Heart Europe"),
    ("agreement", ("round", "deadline"), 7200),
    ("agreement", ("round", "deadline"), "2 hours"),
    ("agreement", ("round", "stragglers"), {"close_after": "20m"}),
    ("agreement", ("round", "attempts"), 0),
    ("agreement", ("round", "local", "sampling_rate"), 1.5),
    ("agreement", ("valid", "until"), "31.12.2028"),
    ("agreement", ("strategy", "name"), "fedavrg"),
    ("agreement", ("privacy",), "none"),
    ("agreement", ("privacy", "delta"), 0),
    ("agreement", ("privacy", "clipp"), 1.0),
    ("agreement", ("schedule", "window"), {"days": ["monday"], "from": "20:00", "to": "06:00"}),
    ("agreement", ("sites", "per_round"), "some"),
    ("agreement", ("sites", "roster"), {"Charité": None}),
    ("agreement", ("operators", "two_for"), ["revoke", "revoke"]),
    ("agreement", ("aggregation", "secure"), "yes"),
    ("site", ("name",), "Charité"),
    ("site", ("state",), "~/state"),
    ("site", ("policy", "unsafe"), ["no-nois"]),
    ("site", ("policy", "bytes_per_day"), "5GB"),
    ("site", ("policy", "cap", "epsilon"), 0),
    ("site", ("federations", 0, "coordinator"), "fed.example.org"),
    ("site", ("federations", 0, "proxy"), "socks://proxy:1080"),
    ("site", ("resources", "isolation"), "optional"),
    ("site", ("resources", "thread"), 4),
    ("coordinator", ("host",), "fed example"),
    ("coordinator", ("listen",), "8443"),
    ("coordinator", ("database",), "mysql://db"),
    ("coordinator", ("spool", "quota_per_site"), 4),
    ("coordinator", ("keep", "models"), "last"),
    ("coordinator", ("spol",), {"folder": "x"}),
]


@pytest.mark.parametrize(
    ("name", "path", "new"), WRONG, ids=lambda value: str(value).replace("/", "|")[:40]
)
def test_what_is_wrong_is_wrong_by_both(name, path, new, tmp_path):
    right = content(EXAMPLE / f"{name}.yaml")
    value = changed(right, path, new)
    assert faults(name, value)
    file = tmp_path / f"{name}.yaml"
    file.write_text(json.dumps(value))  # JSON is YAML
    (tmp_path / "obligations.md").write_text("Duties.\n")
    with pytest.raises(Refused):
        LOADS[name](file)


def test_a_key_says_what_a_change_of_it_asks_of_the_hospitals():
    properties = json_schemas.schema("agreement")["properties"]
    assert "[e] editorial" in properties["title"]["description"]
    assert "[m] material" in properties["purpose"]["description"]


OFFERED = {
    ("strategy", "name"): ["fedavg", "fedprox", "scaffold"],
    ("optimizer", "name"): ["sgd"],
    ("model", "norm"): ["none", "group"],
}


@pytest.mark.parametrize("path", OFFERED, ids=".".join)
def test_of_a_choice_only_what_runs_today_is_offered(path, tmp_path):
    right = content(EXAMPLE / "agreement.yaml")
    for word in OFFERED[path]:
        assert not faults("agreement", changed(right, path, word))
    (fault,) = faults("agreement", changed(right, path, "nothing"))
    assert fault.endswith(f"'nothing' is not one of {OFFERED[path]}")
    file = tmp_path / "agreement.yaml"
    file.write_text(json.dumps(changed(right, path, "nothing")))
    (tmp_path / "obligations.md").write_text("Duties.\n")
    with pytest.raises(Refused) as refused:
        load(file)
    *first, last = OFFERED[path]
    words = f"{', '.join(first)} or {last}" if first else last
    assert f"{'.'.join(path)} is 'nothing', but must be {words}" in str(refused.value)


def test_defaults_are_shown_as_they_are_written():
    made = json_schemas.schema("agreement")
    assert "default" not in made["properties"]["notice"]
    assert made["$defs"]["Round"]["properties"]["attempts"]["default"] == 3


def test_a_schema_lies_where_the_file_s_first_line_says(tmp_path):
    (path,) = json_schemas.write(tmp_path / "fed", "coordinator")
    assert (
        json_schemas.modeline("coordinator") == f"# yaml-language-server: $schema={path.name}\n"
    )
    assert json.loads(path.read_text()) == json_schemas.schema("coordinator")
