"""Statements that every entry asks or writes: compiled once, and run by the driver itself.

What SQLAlchemy does around a statement costs several times what SQLite needs to run it, and a
long record has millions of them. It still says each in the words of the engine at hand, once;
errors are told as it tells them. Nothing here begins, commits or keeps anything.
"""

from __future__ import annotations

from collections import namedtuple
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Insert, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.visitors import iterate

from governance.ledger import remembered, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Select
    from sqlalchemy.sql.dml import UpdateBase

    from governance.ledger.remembered import Answers


@contextmanager
def together(c: Connection) -> Iterator[None]:
    """Have what is `Prepared` and written inside sent at once, where each would be waited for.

    Nothing else may run inside: SQLAlchemy takes no answer that is still on its way.
    """
    pipeline = getattr(c.connection.dbapi_connection, "pipeline", None)
    try:
        with nullcontext() if pipeline is None else pipeline():
            yield
    except _error(c) as problem:
        raise _told("what was sent together", (), problem, c) from problem


def run(c: Connection, sql: str) -> None:
    """Have the driver run what asks nothing; errors are told as SQLAlchemy tells them."""
    try:
        c.connection.cursor().execute(sql).close()
    except _error(c) as problem:
        raise _told(sql, (), problem, c) from problem


_GROWING: Final[dict[str, list[Prepared]]] = {}
"""By table, the questions whose answers grow with it."""


class Prepared:
    """A statement over named values, in the words of each engine that it was run on.

    Args:
        clause: A select, an insert or update that fills the columns `names`, or a delete.
        names: Those columns; every one is given each time.
        kept: Whether its answers hold for a transaction, until a table is written that they
            came from: for what many entries ask alike.
        grows_by: For a question after the rows of one table in which these columns have the
            given values: its answers are kept, and grow with each row that is inserted.
            Whatever else the question demands, every row that is `Prepared` must fulfil.
    """

    __slots__ = ("_clause", "_grows_by", "_inserts", "_kept", "_names", "_said", "_tables")

    def __init__(
        self,
        clause: Select[Any] | UpdateBase,
        names: Sequence[str] = (),
        *,
        kept: bool = False,
        grows_by: Sequence[str] = (),
    ) -> None:
        self._clause = clause
        self._names = list(names) or None
        self._kept = kept
        self._grows_by = tuple(grows_by)
        self._tables = frozenset(
            each.name for each in iterate(clause) if isinstance(each, Table)
        )
        self._inserts = clause.table.name if isinstance(clause, Insert) else ""
        self._said: dict[str, _Said] = {}
        if grows_by:
            (table,) = self._tables
            _GROWING.setdefault(table, []).append(self)

    def all(self, c: Connection, **values: object) -> list[Any]:
        """Return every row; each has its columns' names."""
        known = remembered.answers(c)
        if self._grows_by:
            return self._grown(c, known, values)
        if not self._kept:
            return self._asked(c, known, values)
        question = (self, *values.items())
        rows = known.by_question.get(question)
        if rows is None:
            rows = self._asked(c, known, values)
            known.keep(question, self._tables, rows)
        return rows

    def first(self, c: Connection, **values: object) -> Any:  # noqa: ANN401 - its columns' names
        """Return the first row, None if there is none."""
        if self._kept or self._grows_by:
            return next(iter(self.all(c, **values)), None)
        known = remembered.of(c)
        if known is not None and known.waiting:
            waiting.flush(c, known, self._tables)
        said = self._in_words_of(c)
        found = said.run(c, said.bind(values)).fetchone()
        return None if found is None else said.row(found)

    def write(self, c: Connection, values: Mapping[str, object]) -> None:
        """Insert a row, or update what the values name."""
        self.write_all(c, (values,))

    def write_all(self, c: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert many rows, or update what each names; what is inserted may wait."""
        if not rows:
            return
        if not c.in_transaction():
            c.begin()  # as SQLAlchemy's own statements do: who opened the connection ends it
        known = remembered.answers(c)
        if not self._inserts:
            waiting.flush(c, known, self._tables)
            self.write_now(c, rows)
            for table in self._tables:
                known.wrote(table, grown=False)
            return
        known.wrote(self._inserts)
        there = waiting.add(c, known, self._inserts, self, rows)
        if there is None:
            self.write_now(c, rows)
        for each in _GROWING.get(self._inserts, ()):
            questions = each.grow(c, known, rows)
            if there is not None:
                there.questions.update(questions)
        waiting.flush_if_many(c, known)

    def write_now(self, c: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Have the driver write rows, in their order."""
        said = self._in_words_of(c)
        said.run_many(c, [said.bind(values) for values in rows])

    def grow(
        self, c: Connection, known: Answers, rows: Sequence[Mapping[str, object]]
    ) -> list[tuple[object, ...]]:
        """Add rows that are inserted to the answers they belong to; return whose these are."""
        said, questions = self._in_words_of(c), []
        for values in rows:
            question = (self, *(values[name] for name in self._grows_by))
            answer = known.by_question.get(question)
            if answer is not None:
                answer.append(said.row(values[name] for name in said.columns))
            questions.append(question)
        return questions

    def _grown(self, c: Connection, known: Answers, values: Mapping[str, object]) -> list[Any]:
        question = (self, *(values[name] for name in self._grows_by))
        rows = known.by_question.get(question)
        if rows is None:
            if waiting.touches(known, self._tables, question):
                waiting.flush(c, known, self._tables)
            said = self._in_words_of(c)
            rows = [said.row(each) for each in said.run(c, said.bind(values)).fetchall()]
            known.keep(question, self._tables, rows, grows=True)
        return rows

    def _asked(self, c: Connection, known: Answers, values: Mapping[str, object]) -> list[Any]:
        if known.waiting:
            waiting.flush(c, known, self._tables)
        said = self._in_words_of(c)
        return [said.row(each) for each in said.run(c, said.bind(values)).fetchall()]

    def _in_words_of(self, c: Connection) -> _Said:
        said = self._said.get(c.dialect.driver)
        if said is None:
            said = _said(self._clause, self._names, c.dialect)
            self._said[c.dialect.driver] = said
        return said


@dataclass(frozen=True, slots=True)
class _Said:
    """A statement in an engine's words: how to bind values to it, and what its rows are."""

    text: str
    bind: Callable[[Mapping[str, object]], Any]
    row: Callable[[Iterable[object]], Any]
    columns: Sequence[str]

    def run(self, c: Connection, values: Any) -> Any:  # noqa: ANN401 - the driver's
        cursor = _cursor(c)
        try:
            return cursor.execute(self.text, values)
        except _error(c) as problem:
            raise _told(self.text, values, problem, c) from problem

    def run_many(self, c: Connection, rows: Sequence[Any]) -> None:
        if len(rows) < 2:
            for only in rows:
                self.run(c, only)
            return
        cursor = _cursor(c)
        try:
            cursor.executemany(self.text, rows)
        except _error(c) as problem:
            raise _told(self.text, rows[0], problem, c) from problem


def _cursor(c: Connection) -> Any:  # noqa: ANN401 - the driver's
    if not c.in_transaction():
        c.begin()  # as SQLAlchemy's own statements do: whoever opened the connection ends it
    return c.connection.cursor()


def _told(text: str, values: Any, problem: Exception, c: Connection) -> BaseException:  # noqa: ANN401
    """Return a driver's error as SQLAlchemy tells it, so that one `except` fits both."""
    return DBAPIError.instance(text, values, problem, _error(c), dialect=c.dialect)


def _error(c: Connection) -> type[Exception]:
    dbapi: Any = c.dialect.dbapi
    error: type[Exception] = dbapi.Error
    return error


def _row_of(columns: Sequence[str]) -> Callable[[Iterable[object]], Any]:
    make: Any = namedtuple  # noqa: PYI024 - its names are the question's own
    made: Callable[[Iterable[object]], Any] = make("Row", columns)._make
    return made


def _said(clause: Select[Any] | UpdateBase, names: list[str] | None, dialect: Dialect) -> _Said:
    compiled: Any = clause.compile(dialect=dialect, column_keys=names)
    known = dict(compiled.params)
    asks = getattr(compiled.statement, "selected_columns", ())
    columns = [column.key for column in asks]
    row = _row_of(columns)
    if not compiled.positional:
        return _Said(str(compiled), lambda values: {**known, **values}, row, columns)
    places = list(compiled.positiontup)
    given = {name for name in places if known[name] is None or name in (names or ())}
    if given == set(places) and len(places) > 1:
        return _Said(str(compiled), itemgetter(*places), row, columns)
    return _Said(
        str(compiled),
        lambda values: [values.get(name, known[name]) for name in places],
        row,
        columns,
    )
