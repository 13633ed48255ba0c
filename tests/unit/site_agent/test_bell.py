"""A ring wakes whom it concerns, and one that names nothing wakes everybody."""

from __future__ import annotations

import pytest

from site_agent.bell import Bell, Topic


@pytest.fixture
def bell():
    return Bell()


def counts(bell):
    return {topic: bell.of(topic).count for topic in Topic}


def test_ring_about_nothing_in_particular_is_heard_by_everybody(bell):
    bell.ring()
    assert set(counts(bell).values()) == {1}


def test_ring_about_a_topic_is_heard_by_those_who_listen_to_it(bell):
    bell.ring(Topic.LOG)
    assert counts(bell) == dict.fromkeys(Topic, 0) | {Topic.LOG: 1}


def test_who_listens_to_the_bell_itself_hears_every_ring_once(bell):
    bell.ring(Topic.WORK, Topic.MAIL)
    bell.ring()
    assert bell.count == 2


async def test_ring_between_counting_and_waiting_is_not_missed(bell):
    mail = bell.of(Topic.MAIL)
    heard = mail.count
    bell.ring(Topic.MAIL)
    assert await mail.within(heard, 5)
