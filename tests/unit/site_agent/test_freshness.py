"""An agent that goes by an older site.yaml is found out; comments and spaces change nothing."""

from __future__ import annotations

from governance.settings import load_site
from site_agent import freshness


def told_by(settings):
    return {"pid": 1, "settings": freshness.digest_of(settings), "federations": []}


def changed(today, old, new):
    text = today.file.read_text(encoding="utf-8")
    assert old in text
    today.file.write_text(text.replace(old, new), encoding="utf-8")
    return load_site(today.file)


def test_a_file_that_changed_since_the_agent_started_is_said(today):
    live = told_by(load_site(today.file))
    after = changed(today, "minimum_sites: 3", "minimum_sites: 4")
    (said,) = freshness.warnings(live, after)
    assert "restart it" in said


def test_a_comment_is_no_change(today):
    live = told_by(load_site(today.file))
    after = changed(today, "site: 1", "site: 1   # this hospital's file")
    assert freshness.warnings(live, after) == []


def test_without_an_agent_there_is_nothing_to_restart(today):
    assert freshness.warnings(None, load_site(today.file)) == []
