"""The programs' own files are strict, and every error of a file is said with its place."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from governance.agreement.meaning import SHOUTED
from governance.agreement.schema import UNSAFE_TERMS
from governance.settings import (
    SITE_UNSAFE_TERMS,
    UnsafeTerm,
    cohort_of,
    load_coordinator,
    load_site,
)
from protos.errors import Refused

EXAMPLE = Path(__file__).parents[3] / "configs" / "agreement-example"


@pytest.fixture
def changed(tmp_path):
    def write(kind, *pairs):
        text = (EXAMPLE / f"{kind}.yaml").read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
            text = text.replace(old, new)
        path = tmp_path / f"{kind}.yaml"
        path.write_text(text)
        return path

    return write


def _refusal(load, path):
    with pytest.raises(Refused) as caught:
        load(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_paths_start_from_the_files_folder(changed, tmp_path):
    site = load_site(changed("site"))
    assert site.state == tmp_path / "state"
    assert site.federations[0].folder == tmp_path / "enrolled/heart-failure-example"
    assert cohort_of(site, site.federations[0]).source.csv == tmp_path / "data/infarction.csv"
    assert load_coordinator(changed("coordinator")).spool.folder == tmp_path / "state/spool"


def test_absolute_paths_stay(changed):
    path = changed("site", ("csv: data/infarction.csv", "csv: /data/ami.csv"))
    assert load_site(path).cohorts["infarction"].source.csv == Path("/data/ami.csv")


def test_sqlite_file_is_found_from_any_working_folder(changed, tmp_path):
    settings = load_coordinator(changed("coordinator"))
    assert settings.database == f"sqlite:///{tmp_path}/state/coordinator.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgresql_url_is_taken_and_never_shown(changed, scheme):
    url = f"{scheme}://concilium:secret@db/concilium"
    settings = load_coordinator(changed("coordinator", ("sqlite:///state/coordinator.db", url)))
    assert settings.database == url
    assert "secret" not in repr(settings)


def test_wrong_database_url_is_refused_without_its_password(changed):
    url = "mysql://concilium:secret@db/concilium"
    said = _refusal(
        load_coordinator, changed("coordinator", ("sqlite:///state/coordinator.db", url))
    )
    assert "database is not shown here, but must be a URL such as" in said
    assert "secret" not in said


def test_codes_are_text_on_both_sides(changed):
    cohort = load_site(changed("site")).cohorts["infarction"]
    assert cohort.map["sex"].codes == {"1": "m", "2": "f"}
    assert cohort.map["died_30d"].codes == {"J": "1", "N": "0"}


def test_rehearsal_is_off_unless_a_file_says_so(changed):
    assert load_site(changed("site")).rehearsal is False
    path = changed("site", ("name: charite", "rehearsal: true\nname: charite"))
    assert load_site(path).rehearsal is True


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "cohort: infarction ",
            "cohort: infarct ",
            "federations[0].cohort is 'infarct', but must",
        ),
        ("cohort: infarction ", "cohort: infraction ", "(did you mean infarction?)"),
        ("zone: Europe/Berlin", "zone: Europe/Berln", "(did you mean Europe/Berlin?)"),
        (
            "unsafe: [no-isolation]",
            "unsafe: []",
            "isolation is none, but policy.unsafe does not",
        ),
        ("unsafe: [no-isolation]", "unsafe: [no-noize]", "did you mean no-noise?"),
        (
            "held_out: 0.2",
            "held_out: 1",
            "held_out is 1, but must be a number above 0 and below 1",
        ),
        ("encoding: utf-8", "encoding: utf-9", "must be the name of a text encoding"),
        (
            "encoding: utf-8",
            "encoding: base64",
            "must be the name of a text encoding",
        ),
        (
            "cap: {epsilon: 8.0",
            "cap: {epsilon: -8.0",
            "policy.cap.epsilon is -8.0, but must be",
        ),
        ("minimum_sites: 3", "minimum_site: 3", "did you mean minimum_sites?"),
        ("builtin:mlp", "mlp", "policy.models[1] is 'mlp', but must be builtin: and a model's"),
        ("fed.example.org:8443", "fed.example.org", "must be a host and a port"),
        ("proxy: none", "proxy: socks5://x:1", "must be none, env"),
        (
            "codes: {1: m, 2: f}",
            "scale: 2, codes: {1: m}",
            "has a unit, beside which codes may stand for missing",
        ),
        ("site: 1", "site: 2", "site is 2, but must be 1"),
        ("state: state/", "state: 7", "state is 7, but must be the path of a file or"),
        ("threads: 4", "threads: 0", "must be a whole number from 1 to 1024"),
        ("name: charite", "name: charite\nname: amc", "name stands here again"),
    ],
)
def test_mistake_in_a_hospitals_file_is_named(changed, old, new, said):
    assert said in _refusal(load_site, changed("site", (old, new)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("host: fed.example.org", "host: fed example", "must be a DNS name"),
        (
            "listen: 0.0.0.0:8443",
            "listen: 8443",
            "listen is 8443, but must be a host and a port",
        ),
        ("quota_per_site: 4GiB", "quota_per_site: 4 GB", "must be a size such as"),
        ("updates: until-final", "updates: forever", "must be until-final"),
        ("coordinator: 1", "", "coordinator is missing, but must be given"),
    ],
)
def test_mistake_in_a_coordinators_file_is_named(changed, old, new, said):
    assert said in _refusal(load_coordinator, changed("coordinator", (old, new)))


def test_all_errors_of_a_file_are_said_at_once(changed):
    path = changed("site", ("site: 1", "site: 3"), ("threads: 4", "threads: x"))
    assert len(_refusal(load_site, path).splitlines()) == 2


def test_every_unsafe_term_can_be_accepted_and_is_shouted():
    assert set(typing.get_args(UnsafeTerm)) == set(SITE_UNSAFE_TERMS)
    assert set(SHOUTED) == set(UNSAFE_TERMS)
