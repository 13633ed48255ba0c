"""A hospital under test: real keys, a real store, a real agreement, and a clock of its own."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from datetime import UTC, datetime, timedelta

import yaml

from governance.agreement.load import load
from governance.identity import folder
from governance.identity.authority import Authority, create
from governance.identity.enrolment import Token
from governance.identity.keys import SigningKey
from governance.settings import load_site
from protos.words import BlobRef, Enrolled, Proposal, Task, TaskKind, ToSite
from site_agent import desk, drafts, inbox, joining, office
from site_agent.membership import open_membership
from site_agent.premises import Premises
from site_agent.store import Store, letters, work

FEDERATION = "hearts"
SITE = "charite"
OTHERS = ("amc", "ucl")
START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECRET = b"correct horse"

TERMS = {
    "agreement": 1,
    "federation": FEDERATION,
    "title": "A small study",
    "purpose": ["DUO:0000006"],
    "owner": "The hospitals",
    "licence": "CC-BY-4.0",
    "coordinator": {"operator": "The hospitals", "hosted_in": "NL"},
    "valid": {"from": "2026-01-01", "until": "2099-12-31"},
    "sites": {"ready_at_least": 3, "close_at_least": 3, "per_round": "all"},
    "schedule": {"rounds": 20},
    "round": {
        "deadline": "10m",
        "stragglers": "wait",
        "attempts": 3,
        "local": {"steps": 4, "sampling_rate": 0.1},
    },
    "data": {
        "minimum_patients": 40,
        "target": {"name": "died", "kind": "binary", "prevalence": [0.1, 0.9]},
        "features": [
            {
                "name": name,
                "unit": "1",
                "kind": "real",
                "range": [0, 10],
                "reference": {"mean": 5, "std": 2},
                "missing": {"at_most": 0.05, "fill": 5},
            }
            for name in ("one", "two")
        ],
    },
    "model": {"name": "linear", "seed": 1},
    "strategy": {"name": "fedavg"},
    "optimizer": {"name": "sgd", "rate": 0.3},
    "privacy": {
        "clip": 1.0,
        "noise_multiplier": 2.0,
        "delta": 1e-5,
        "budget": {"epsilon": 6.0},
        "metrics": {"exact": {"every": 1}, "minimum": 1},
    },
    "aggregation": {"secure": False, "weighting": "declared"},
    "quality": {"visible_to": "own-site"},
}
UNSAFE_METRICS = "exact-small-classes"
SETTINGS = {
    "site": 1,
    "name": SITE,
    "state": "state/",
    "officer_key": "keys/officer.pem",
    "federations": [
        {
            "coordinator": "localhost:1",
            "folder": f"enrolled/{FEDERATION}",
            "cohort": "patients",
        }
    ],
    "cohorts": {
        "patients": {
            "source": {"csv": "patients.csv"},
            "patient_id": "MRN",
            "held_out": 0.2,
            "map": {
                "one": {"column": "ONE"},
                "two": {"column": "TWO", "scale": 0.1},
                "died": {"column": "DIED", "codes": {"J": "1", "N": "0"}},
            },
        }
    },
    "policy": {
        "cap": {"epsilon": 8.0, "delta": 1e-5},
        "minimum_sites": 3,
        "purposes": ["DUO:0000006"],
        "models": ["builtin:linear"],
        "require_secure_aggregation": False,
        "unsafe": ["no-isolation", UNSAFE_METRICS],
    },
    "resources": {"threads": 1, "isolation": "none"},
}


def changed(terms, changes):
    """Return a deep copy with dotted paths set; a value of None takes the term away."""
    copy = json.loads(json.dumps(terms))
    for path, value in dict(changes).items():
        *above, last = path.split(".")
        place = copy
        for step in above:
            place = place[step] if isinstance(place, dict) else place[int(step)]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return copy


def officer_of(name):
    return SigningKey.from_seed(hashlib.sha256(f"officer of {name}".encode()).digest())


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, time=START):
        self.time = time

    def __call__(self):
        self.time += timedelta(milliseconds=1)
        return self.time

    def pass_(self, **span):
        self.time += timedelta(**span)


def found(place, *names, now=START):
    """Make an authority, and enrol hospitals with it; done once, since it takes a while."""
    create(
        place / "coordinator",
        federation=FEDERATION,
        host="localhost",
        passphrase=b"x",
        now=now,
    )
    authority = Authority.load(place / "coordinator")
    for name in names or (SITE,):
        enrol(place / name, authority, now)
    return place


def enrol(site, authority, now):
    """Make the folder of the hospital that it is named after, and enrol it."""
    name, keys = site.name, site / "keys"
    keys.mkdir(parents=True)
    settings = changed(SETTINGS, {"name": name})
    (site / "site.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (site / "patients.csv").write_text(patients())
    officer_of(name).save(keys / "officer.pem", passphrase=SECRET)
    token = Token(
        federation=FEDERATION,
        role="site",
        name=name,
        root=authority.root_fingerprint,
        enrolment="localhost:2",
        coordinator="localhost:1",
        secret=bytes(32),
    )
    own = site / "enrolled" / FEDERATION
    request = folder.prepare(own, token, officers=[officer_of(name)], now=now)
    joining._journal(load_site(site / "site.yaml"), FEDERATION, request)
    issued = authority.issue(request.csr, name=name, role="site", now=now)
    vkey = authority_vkey(authority)
    folder.finish(own, Enrolled(issued.pem_chain, authority.root_pem, vkey), now=now)
    (site / "enrolled.json").write_bytes(request.statement)


def authority_vkey(authority):
    from governance.ledger.checkpoint import log_key

    return log_key(authority.log.origin, authority.ledger_key().key_id).text


def patients(count=60, *, seed=1):
    """Return a CSV of patients whose second column predicts the outcome."""
    draw = random.Random(seed)
    rows = ["MRN,ONE,TWO,DIED"]
    for number in range(count):
        one, two = draw.uniform(1, 9), draw.uniform(10, 90)
        rows.append(f"p{number},{one:.2f},{two:.1f},{'J' if two > 50 else 'N'}")
    return "\n".join(rows) + "\n"


class Hospital:
    """One hospital with its store open, as the agent and its command line see it."""

    def __init__(self, place, *, name=SITE, clock=None, settings=()):
        self.name, self.place = name, place
        self.folder = place / name
        self.file = self.folder / "site.yaml"
        if settings:
            self.write(settings)
        self.clock = clock or Clock()
        self.open()

    def open(self):
        """Open the store, as a process that starts does."""
        self.settings = load_site(self.file)
        self.premises = Premises(self.settings.state)
        self.premises.prepare()
        self.store = Store.open(self.premises.database)
        self.m, self.identity = open_membership(
            self.settings,
            self.settings.federations[0],
            store=self.store,
            premises=self.premises,
            now=self.clock,
        )

    def rewrite(self, **settings):
        """Change site.yaml, and start again with it."""
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        self.write(dotted)
        self.restart()

    def write(self, changes):
        settings = changed(SETTINGS, {"name": self.name, **dict(changes)})
        self.file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def close(self):
        self.store.close()

    def restart(self):
        """What a power cut does: nothing is left but what is on the disk."""
        self.close()
        self.open()

    @property
    def authority(self):
        return Authority.load(self.place / "coordinator")

    @property
    def enrolled(self):
        return (self.folder / "enrolled.json").read_bytes()

    # --- what comes ----------------------------------------------------------------------

    def take(self, body):
        """Take a numbered message, the next one."""
        seq = self.store.look(lambda c: letters.taken(c, FEDERATION)) + 1
        return self.store.now(lambda c: inbox.take(c, self.m, ToSite(body, seq=seq)))

    def document(self, *, roster=(SITE, *OTHERS), **changes):
        """Return an agreement; a double underscore in a name stands for a dot."""
        dotted = {name.replace("__", "."): value for name, value in changes.items()}
        terms = changed(TERMS, dotted)
        terms["sites"]["roster"] = {name: officer_of(name).key_id for name in roster}
        terms["operators"] = {"keys": {"ops": officer_of("operator").key_id}}
        path = self.folder / "agreement.yaml"
        path.write_text(yaml.safe_dump(terms, sort_keys=False))
        return load(path)

    def proposed(self, document=None, **changes):
        document = document or self.document(**changes)
        self.take(Proposal(document.raw))
        return document

    def consented(self, document=None, *, patients=60, state="in-force", **changes):
        """Have an agreement proposed, consent to it, and let it take force."""
        from protos.words import AgreementState

        document = self.proposed(document, **changes)
        self.consent(document, patients=patients)
        self.take(AgreementState(document.digest, state))
        return document

    def consent(self, document, *, patients=60, until=None, **told):
        reviewed = desk.reviewed(self.m, document)
        answer = office.Answer(
            told.get("officer", "A. Weber"),
            told.get("role", "CMO"),
            until or document.agreement.valid.until,
            patients,
            {},
        )
        draft = self.store.look(
            lambda c: office.consent_draft(c, self.m, document, reviewed, answer)
        )
        return self.deliver(drafts.sign(draft, officer_of(self.name)))

    def deliver(self, draft):
        return self.store.now(lambda c: office.deliver(c, self.m, draft))

    def task(self, document, *, round_=1, attempt=1, kind=TaskKind.TRAIN, **fields):
        model = fields.get("model", BlobRef(digest_of(f"model {round_}"), 268))
        return Task(
            task=f"{FEDERATION}/{round_}/{attempt}/{kind.value}",
            kind=kind,
            round=round_,
            attempt=attempt,
            agreement=document.digest,
            model=model,
            state=fields.get("state"),
            deadline=fields.get("deadline", self.clock.time + timedelta(minutes=10)),
        )

    # --- what is there -------------------------------------------------------------------

    def sent(self, *kinds):
        """Return the bodies in the outbox, of these types."""
        words = self.store.look(lambda c: letters.unsent(c, FEDERATION, after=0))
        return [word.body for word in words if not kinds or isinstance(word.body, kinds)]

    def held(self, task):
        return self.store.look(lambda c: work.find(c, FEDERATION, task.task))

    def spent(self):
        return self.store.look(lambda c: work.spent_on(c, "patients"))

    def said(self, kind):
        from site_agent.store import journal

        return self.store.look(lambda c: journal.of_kind(c, FEDERATION, kind))


def copied(template, place):
    shutil.copytree(template, place, dirs_exist_ok=True)
    return place


def with_second_federation(today):
    settings = json.loads(json.dumps(SETTINGS))
    settings["federations"].append(
        {"coordinator": "localhost:2", "folder": "enrolled/lungs", "cohort": "patients"}
    )
    today.file.write_text(yaml.safe_dump(settings))
