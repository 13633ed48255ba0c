"""A short history with everything in it, and the hands of somebody who holds its database."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing, contextmanager
from hashlib import sha256

from governance import statements
from governance.ledger import checkpoint, merkle, source, store
from governance.ledger.entry import columns, leaf_data
from governance.ledger.verify import verify
from governance.privacy.accountant import epsilon, format_epsilon
from governance.privacy.releases import Release

SITES = ("amc", "kul", "ucl", "usz")
STEPS = 5


class History:
    """A federation of four hospitals over four rounds; each statement is admitted for real."""

    def __init__(self, federation):
        self.fed = federation
        self.trained = dict.fromkeys(SITES, 0)
        self.models = 0

    def cost(self, site):
        releases = [Release(0.1, 1.1, STEPS * self.trained[site])]
        return format_epsilon(epsilon(releases, 1e-5))

    def reserve(self, site, round_, attempt=1, agreement="first", **more):
        self.trained[site] += 1
        body = {
            **self.fed.reserve_body(round_, attempt, total=self.cost(site)),
            **self.fed.at(round_, attempt, agreement),
            **more,
        }
        return self.fed.agent(site, "budget-reserved", body)

    def contribution(self, site, round_, attempt=1, agreement="first", **more):
        body = self.fed.contribution_body(site, round_, attempt, base=f"m{self.models}")
        return {
            **body,
            **self.fed.at(round_, attempt, agreement),
            "epsilon": self.cost(site),
        } | more

    def train(self, site, round_, attempt=1, agreement="first", **more):
        self.reserve(site, round_, attempt, agreement)
        body = self.contribution(site, round_, attempt, agreement, **more)
        return self.fed.agent(site, "contribution-made", body)

    def open(self, round_, attempt=1, sites=SITES, agreement="first"):
        return self.fed.open_round(
            round_, attempt, sites=sites, model=f"m{self.models}", agreement=agreement
        )

    def evaluate(self, site, round_, attempt=1, agreement="first"):
        figures = statements.disclose("figures", '{"count":12}', salt=bytes(32))
        body = {
            **self.fed.at(round_, attempt, agreement),
            "model": sha256(b"candidate").hexdigest(),
            "mechanism": "exact",
        }
        return self.fed.agent(site, "evaluation-made", body, told=(figures,))

    def close(self, round_, attempt=1, sites=SITES, out=None, agreement="first"):
        before, self.models = self.models, self.models + 1
        models = f"m{before} m{self.models}"
        body = self.fed.close_body(round_, attempt, sites_in=sites, out=out, models=models)
        seq = self.fed.coordinator(
            "round-closed", body | self.fed.at(round_, attempt, agreement)
        )
        gone = {**self.fed.at(round_, attempt, agreement), "updates": []}
        self.fed.coordinator("updates-deleted", gone)
        return seq

    def checkpoint(self, sites=SITES):
        c, fed = self.fed.connection, self.fed
        note = store.sign_checkpoint(c, fed.key("ledger"), fed.log.origin)
        for site in sites:
            key = fed.key(fed.agents.get(site, f"{site} agent"))
            line = checkpoint.cosign(note, site=site, key=key, at=fed.now)
            store.add_cosignature(c, store.size_of(c), line, site)
        return note

    def begin(self):
        fed = self.fed
        fed.found()
        fed.enrol("operator", "ops")
        fed.enrol("auditor", "aud")
        for number, site in enumerate(SITES):
            fed.enrol_site(site)
            fed.certify(site, "site", f"{number:02x}")
        fed.coordinator("software-started", {"program": "p", "version": "1", "os": "Linux"})
        fed.operator("operator-acted", {"act": "pause", "round": 0})
        fed.propose("first")
        for site in SITES:
            fed.consent(site, "first", cap="12")
        fed.moved("in-force", "first", *SITES)
        self.checkpoint()

    def go(self):
        self.begin()
        self.first_rounds()
        self.withdrawal()
        self.second_agreement()
        return self

    def first_rounds(self):
        fed = self.fed
        self.open(1)
        for site in SITES:
            self.train(site, 1)
        refusal = {
            **fed.at(1),
            "site": "usz",
            "update": self.contribution("usz", 1)["update"],
            "refusal": "not-finite",
        }
        fed.coordinator("contribution-refused", refusal)
        for site in SITES[:3]:
            self.evaluate(site, 1)
        self.close(1, sites=SITES[:3], out={"usz": "not-finite"})
        self.checkpoint()
        # Round 2 is abandoned; amc sends again what it had paid for, the others train anew.
        self.open(2)
        for site in SITES[:2]:
            self.train(site, 2)
        fed.agent("ucl", "task-refused", {**fed.at(2), "task": "t", "refusal": "quiet-hours"})
        fed.abandon(2, sites=SITES)
        self.open(2, 2)
        again = self.contribution("amc", 2, 2, update=self.contribution("amc", 2)["update"])
        fed.agent("amc", "contribution-made", again)
        for site in SITES[1:]:
            self.train(site, 2, 2)
        self.close(2, 2)
        self.checkpoint()

    def withdrawal(self):
        fed = self.fed
        self.open(3)
        self.train("amc", 3)
        fed.agent("kul", "consent-withdrawn", {"agreement": fed.at(1)["agreement"]})
        fed.agent("ucl", "consent-suspended", {"agreement": fed.at(1)["agreement"]})
        rejected = {**fed.at(3), "model": sha256(b"bad").hexdigest(), "refusal": "gate"}
        fed.coordinator("candidate-rejected", rejected)
        fed.abandon(3, reason="gate", sites=SITES)
        body = {"agreement": fed.at(1)["agreement"], "material": fed.at(1)["agreement"]}
        fed.officer("ucl", "consent-resumed", body)
        stay = ("amc", "ucl", "usz")
        self.open(3, 2, sites=stay)
        for site in stay:
            self.train(site, 3, 2)
        self.close(3, 2, sites=stay)
        self.checkpoint(stay)

    def second_agreement(self):
        fed, stay = self.fed, ("amc", "ucl")
        body = {"name": "amc", "usage": "agent", "old": fed.key("amc agent").key_id}
        body["new"] = fed.key("amc agent 2").key_id
        signers = (fed.key("amc agent"), fed.key("amc officer"), fed.key("amc agent 2"))
        fed.say("key-rotated", body, "site/amc", *signers)
        fed.agents["amc"] = "amc agent 2"
        fed.propose("second")
        for site in stay:
            fed.consent(site, "second", cap="12")
        fed.moved("superseded", "first")
        fed.moved("in-force", "second", *stay)
        self.open(4, sites=stay, agreement="second")
        self.train("ucl", 4, agreement="second")
        self.train_amc(4)
        self.close(4, sites=stay, agreement="second")
        self.checkpoint((*stay, "kul"))  # it withdrew, and is a witness still
        fed.operator("revoked", {"name": "usz", "serials": ["03"]})
        fed.coordinator("software-started", {"program": "p", "version": "2", "os": "Linux"})

    def train_amc(self, round_):
        fed, key = self.fed, self.fed.key("amc agent 2")
        self.trained["amc"] += 1
        at = fed.at(round_, 1, "second")
        reserved = fed.reserve_body(round_, total=self.cost("amc"))
        fed.say("budget-reserved", {**reserved, **at}, "site/amc", key)
        body = self.contribution("amc", round_, agreement="second")
        fed.say("contribution-made", body, "site/amc", key)


@contextmanager
def beginning(path, authorities, first_issuing):
    """Yield a federation with an empty log in a new database; what it said is kept."""
    engine = store.open_engine(source.writable_url(str(path)))
    store.create(engine)
    federation_class = sys.modules[type(authorities).__module__].Federation
    with engine.begin() as connection:
        federation = federation_class(authorities, *first_issuing, connection)
        federation.agents = {}
        yield federation
    engine.dispose()


class Intruder:
    """Whoever holds the database: they can write anything in it, but sign for nobody.

    They put the triggers back when they are done.
    """

    trigger = "entries_no_delete"

    def __init__(self, path, log):
        self.path, self.log = path, log

    @contextmanager
    def sql(self):
        asked = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        with sqlite3.connect(self.path) as db:
            triggers = db.execute(asked).fetchall()
            for name, _ in triggers:
                db.execute(f"DROP TRIGGER {name}")
            yield db
            for _, made in triggers:
                db.execute(made)
        db.close()

    def run(self, *commands):
        with self.sql() as db:
            for command, *values in commands:
                db.execute(command, values)

    def drop_trigger(self):
        """Take one trigger away, and leave it so."""
        with closing(sqlite3.connect(self.path)) as db:
            db.execute(f"DROP TRIGGER {self.trigger}")

    def entries(self):
        with closing(sqlite3.connect(self.path)) as db:
            return db.execute(
                "SELECT seq, received_at, envelope FROM entries ORDER BY seq"
            ).fetchall()

    def statement(self, seq):
        return statements.read(self.entries()[seq][2])

    def seq_of(self, kind, *, last=False, **body):
        found = [
            seq
            for seq, _, envelope in self.entries()
            if (said := statements.read(envelope)).kind == kind
            and all({**said.body, "actor": said.actor}.get(k) == v for k, v in body.items())
        ]
        return found[-1 if last else 0]

    def rewrite(self, rows):
        """Make the whole log anew from (received_at, envelope): leaves, columns and tree."""
        with self.sql() as db:
            self.loosen(db)
            db.execute("DELETE FROM nodes")
            frontier = merkle.Frontier()
            for seq, (received_at, envelope) in enumerate(rows):
                leaf = merkle.leaf_hash(leaf_data(seq, received_at, envelope))
                row = {
                    "seq": seq,
                    "received_at": received_at,
                    "envelope": envelope,
                    "leaf_hash": leaf,
                    **columns(statements.read(envelope)),
                }
                db.execute(
                    f"INSERT INTO entries ({', '.join(row)}) "
                    f"VALUES ({', '.join('?' * len(row))})",
                    list(row.values()),
                )
                db.executemany("INSERT INTO nodes VALUES (?, ?, ?)", frontier.append(leaf))

    def replace(self, seq, other):
        """Put a copy of an entry in the place of another."""
        columns = "received_at, envelope, leaf_hash, 'x' || substr(statement, 2), kind, actor"
        more = "site, round, attempt, agreement, signer, counter + 10000"
        chosen = f"SELECT ?, {columns}, {more} FROM entries WHERE seq = ?"
        self.run((f"INSERT OR REPLACE INTO entries {chosen}", seq, other))

    def loosen(self, db):
        """Leave an empty table without constraints, so that nothing stands in the way."""
        db.execute("PRAGMA legacy_alter_table = ON")  # views of the table stay as they are
        db.execute("CREATE TABLE loose AS SELECT * FROM entries WHERE 0")
        db.execute("DROP TABLE entries")
        db.execute("ALTER TABLE loose RENAME TO entries")

    def append(self, *envelopes):
        rows = [(at, envelope) for _, at, envelope in self.entries()]
        self.rewrite(rows + [(rows[-1][0], envelope) for envelope in envelopes])

    @contextmanager
    def reading(self):
        engine = source.open_database(str(self.path))
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def verdict(self, **options):
        with self.reading() as connection:
            return verify(source.Database(connection), **options)
