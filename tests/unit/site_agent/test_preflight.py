"""Before any signature: each thing that can be wrong is found, and says who must act."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hospital import FEDERATION, SITE, patients
from ports import listening, served

from governance.findings import Finding, Verdict, answer, fine, stopped, stops
from governance.identity.authority import Authority, create
from governance.identity.enrolment import Token, mint
from governance.places import Place
from governance.terminal import Format
from site_agent.preflight import Wanted, dialling, inspect, line, practice
from site_agent.preflight.dialling import Route, route
from site_agent.preflight.line import Expected


@pytest.fixture(scope="session")
def keys(template_of_today):
    return template_of_today / "coordinator" / "keys"


@pytest.fixture(scope="session")
def root(template_of_today):
    return Authority.load(template_of_today / "coordinator").root_fingerprint


def looked(port, *, proxy="none", root=None, federation="", host="localhost"):
    found = line.inspected(
        f"{host}:{port}", proxy, Expected(root, federation), now=datetime.now(UTC)
    )
    return {one.check: one for one in found}


# --- the line --------------------------------------------------------------------------------


def test_a_coordinator_that_answers_by_our_root_is_fine(keys, root):
    with served(keys) as port:
        found = looked(port, root=root, federation=FEDERATION)
    assert {one.verdict for one in found.values()} == {Verdict.FINE}
    assert list(found) == ["proxy", "host name", "port", "TLS", "certificate"]


def test_before_enrolment_the_root_is_shown_to_be_compared(keys, root):
    with served(keys) as port:
        found = looked(port)["certificate"]
    assert (found.verdict, found.who) == (Verdict.LOOK, "the operator")
    assert root in found.found


def test_a_name_that_does_not_resolve_is_for_it():
    found = looked(1, host="nowhere.invalid")
    assert (found["host name"].verdict, found["host name"].who) == (
        Verdict.STOPS,
        "this hospital's IT",
    )
    assert "port" not in found


def test_a_port_that_refuses_is_for_the_operator():
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    found = looked(port)["port"]
    assert (found.verdict, found.who) == (Verdict.STOPS, "the operator")


def test_what_does_not_speak_tls_is_for_it():
    with listening(lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        found = looked(port)
    assert (found["TLS"].verdict, found["TLS"].who) == (Verdict.STOPS, "this hospital's IT")


def test_another_root_is_a_stranger(keys):
    with served(keys) as port:
        found = looked(port, root="ab" * 32)["certificate"]
    assert (found.verdict, found.who) == (Verdict.STOPS, "the operator")
    assert "telephone" in found.todo


def test_another_federation_is_said(keys, root):
    with served(keys) as port:
        found = looked(port, root=root, federation="lungs")["certificate"]
    assert found.verdict is Verdict.STOPS
    assert f"of {FEDERATION} answers" in found.found


def test_an_inspecting_firewall_is_for_it(tmp_path):
    import firewall

    with served(firewall.inspecting(tmp_path)) as port:
        found = looked(port)["certificate"]
    assert (found.verdict, found.who) == (Verdict.STOPS, "this hospital's IT")
    assert "Inspecting CA" in found.found
    assert "inspection" in found.todo


def test_what_breaks_http2_is_for_it(keys, root):
    with served(keys, protocol="http/1.1") as port:
        found = looked(port, root=root)["HTTP/2"]
    assert (found.verdict, found.who) == (Verdict.STOPS, "this hospital's IT")
    assert "inspection" in found.todo


# --- proxies ---------------------------------------------------------------------------------


def connecting(status):
    def serve(peer):
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(4096)
        target = head.split(b" ")[1].decode()
        peer.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=5) as far:
                far.settimeout(5)
                back = threading.Thread(target=pumped, args=(far, peer), daemon=True)
                back.start()
                pumped(peer, far)
                back.join(5)

    return serve


def pumped(source, sink):
    try:
        while data := source.recv(4096):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_a_proxy_that_lets_through_is_used(keys, root):
    with served(keys) as port, listening(connecting("200 OK")) as proxy:
        found = looked(port, proxy=f"http://127.0.0.1:{proxy}", root=root)
    assert {one.verdict for one in found.values()} == {Verdict.FINE}
    assert f"127.0.0.1:{proxy}" in found["port"].found


def test_a_proxy_that_wants_a_password_is_for_it():
    with listening(connecting("407 Proxy Authentication Required")) as proxy:
        found = looked(9, proxy=f"http://127.0.0.1:{proxy}")["port"]
    assert (found.verdict, found.who) == (Verdict.STOPS, "this hospital's IT")
    assert "407 Proxy Authentication Required" in found.found


COORDINATOR = Place("fed.example.org", 8443)


@pytest.mark.parametrize(
    ("setting", "environment", "expected"),
    [
        ("none", {"https_proxy": "http://p:1"}, Route(None)),
        ("env", {}, Route(None)),
        ("env", {"https_proxy": "http://p:1"}, Route(Place("p", 1), "https_proxy")),
        ("env", {"http_proxy": "http://u:w@p:1/"}, Route(Place("p", 1), "http_proxy")),
        ("env", {"HTTPS_PROXY": "http://p:1"}, Route(None)),
        ("env", {"https_proxy": "http://p:1", "no_proxy": "x, example.org"}, Route(None)),
        ("http://p:3128", {}, Route(Place("p", 3128), "site.yaml")),
    ],
)
def test_the_route_is_the_one_that_the_agent_takes(setting, environment, expected):
    assert route(setting, COORDINATOR, environment) == expected


def test_a_proxy_in_capitals_is_named_since_it_is_not_read(monkeypatch):
    for name in dialling.PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.hospital:3128")
    found = looked(1, proxy="env", host="nowhere.invalid")["proxy"]
    assert found.verdict is Verdict.LOOK
    assert "HTTPS_PROXY" in found.found
    assert "proxy: http://host:port" in found.todo
    found = looked(1, host="nowhere.invalid")["proxy"]
    assert (found.verdict, "HTTPS_PROXY" in found.found) == (Verdict.LOOK, True)


# --- the clock -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0.4, Verdict.FINE), (-299, Verdict.FINE), (301, Verdict.STOPS)]
)
def test_a_clock_may_be_five_minutes_off(seconds, verdict):
    assert line.clock(timedelta(seconds=seconds)).verdict is verdict


# --- all of it -------------------------------------------------------------------------------


def inspected(hospital, document=None, **wanted):
    agreement = hospital.folder / "agreement.yaml" if document is not None else None
    said = []
    found = inspect(hospital.file, Wanted(agreement=agreement, **wanted), said.append)
    return {one.check: one for one in found}


@pytest.mark.slow
def test_a_cohort_is_trained_on_and_nothing_is_kept_or_spent(today):
    found = inspected(today, today.document())
    assert found["data"].verdict is Verdict.FINE
    assert found["training"].verdict is Verdict.FINE
    assert " a step, " in found["training"].found
    assert not (today.premises.work / "preflight").exists()
    assert today.spent() == []
    assert today.sent() == []


@pytest.mark.slow
def test_what_confines_the_worker_is_named(today, monkeypatch):
    monkeypatch.setattr(practice, "LONG_ENOUGH_S", 0.1)
    today.rewrite(resources__isolation="required", policy__unsafe=["exact-small-classes"])
    found = inspected(today, today.document())
    assert found["training"].found.endswith("confined by bubblewrap, without network")


def test_data_that_break_the_contract_stop_and_no_step_is_measured(today):
    (today.folder / "patients.csv").write_text(patients(20))
    found = inspected(today, today.document())
    assert (found["data"].verdict, found["data"].who) == (
        Verdict.STOPS,
        "you, the administrator",
    )
    assert found["training"].verdict is Verdict.UNKNOWN


@pytest.mark.slow
def test_the_hospitals_own_file_is_asked(today):
    found = inspected(today, today.document(purpose=["DUO:0000042"]))
    assert (found["site.yaml"].verdict, found["site.yaml"].who) == (
        Verdict.STOPS,
        "the officer",
    )


def test_it_works_without_an_agreement_and_says_what_is_missing(today):
    found = inspected(today)
    assert found["agreement"].verdict is Verdict.UNKNOWN
    assert "training" not in found


@pytest.mark.slow
def test_it_works_before_enrolment(today):
    (today.folder / "enrolled" / FEDERATION / "federation.json").unlink()
    found = inspected(today, today.document())
    assert found["session and clock"].verdict is Verdict.UNKNOWN
    assert "own certificate" not in found
    assert found["training"].verdict is Verdict.FINE


def test_a_token_says_whom_to_expect_and_opens_the_look_at_the_door(today, keys, root):
    with served(keys) as port:
        token = Token(
            FEDERATION, "site", SITE, root, f"localhost:{port}", "localhost:1", bytes(32)
        )
        today.rewrite(**{"federations.0.coordinator": f"localhost:{port}"})
        (today.folder / "enrolled" / FEDERATION / "federation.json").unlink()
        found = inspected(today, token=mint(token))
    assert found["certificate"].verdict is Verdict.FINE
    assert found["enrolment port"].verdict is Verdict.FINE


# --- time against the deadline ---------------------------------------------------------------


def timed(hospital, pace, rate, **changes):
    agreement = hospital.document(**changes).agreement
    return {one.check: one for one in practice.timing(agreement, pace, rate)}


def test_a_training_longer_than_the_deadline_stops(charite):
    slow = practice.Pace(step_s=300, round_s=1200, steps=4, memory_bytes=1)
    found = timed(charite, slow, 10**6, round__deadline="10m")["deadline"]
    assert (found.verdict, found.who) == (Verdict.STOPS, "the operator")


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [(None, Verdict.UNKNOWN), (10, Verdict.STOPS), (10**6, Verdict.FINE)],
)
def test_an_upload_is_held_against_what_the_deadline_leaves(charite, rate, verdict):
    pace = practice.Pace(step_s=149, round_s=598, steps=4, memory_bytes=1)
    assert timed(charite, pace, rate)["upload"].verdict is verdict


# --- what is said ----------------------------------------------------------------------------


def test_who_must_act_is_said_once_for_each_person():
    found = [
        fine("disk", "enough"),
        stops("port", "shut", who="this hospital's IT", todo="open it"),
        Finding("certificate", Verdict.LOOK, "unknown", "the operator", "compare"),
    ]
    said = answer(found, Format.TABLE)
    assert said.columns == ("check", "result", "found")
    assert list(said.notes) == [
        "",
        "To do for this hospital's IT:",
        "- port (stops): open it",
        "",
        "To do for the operator:",
        "- certificate (look): compare",
        "",
        "1 finding stops this hospital from taking part.",
    ]
    assert answer(found, Format.JSON).columns[3:] == ("who", "todo")
    assert stopped(found)
    assert not stopped(found[:1])


def test_an_authority_of_another_federation_shows_another_root(tmp_path, keys, root):
    create(
        tmp_path / "c",
        federation="lungs",
        host="localhost",
        passphrase=b"x",
        now=datetime.now(UTC),
    )
    with served(tmp_path / "c" / "keys") as port:
        found = looked(port, root=root)["certificate"]
    assert found.verdict is Verdict.STOPS
    assert root in found.found


@pytest.mark.parametrize("text", ["fast", "10 Mbit", "-1Mbit/s"])
def test_a_rate_that_is_none_is_refused(text):
    from protos.errors import Refused

    with pytest.raises(Refused, match="10Mbit/s"):
        practice.rate_of(text)
    assert practice.rate_of("10Mbit/s") == 10_000_000


def test_the_answer_fits_into_json(capsys):
    from governance import terminal

    terminal.say(answer([fine("disk", "enough")], Format.JSON), Format.JSON)
    assert json.loads(capsys.readouterr().out)["stops"] is False


def test_a_hello_compares_the_clocks(today, keys):
    """By a real session over mutual TLS."""
    from coordinator_line import Coordinator, serving

    from site_agent.preflight.hello import skew

    async def asked():
        servicer = Coordinator(clock=datetime.now(UTC) - timedelta(seconds=90))
        async with serving(keys, servicer) as port:
            place = today.settings.federations[0].model_copy(
                update={"coordinator": f"localhost:{port}"}
            )
            return await skew(today.m, today.identity, place)

    today.clock.time = datetime.now(UTC)
    assert 80 < asyncio.run(asked()).total_seconds() < 100
