"""`--server HOST:PORT --identity DIR` on every verb that asks a ledger.

The log is mirrored into the identity's folder and checked as it comes; the verb then asks the
mirror, as it asks any database. So no verb knows of it.
"""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVER: Final = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        help="A running coordinator: its log is mirrored, checked, and asked.",
    ),
]
_IDENTITY: Final = Annotated[
    Path | None,
    typer.Option("--identity", help="With --server: the folder of your keys, from `enrol`."),
]
_KINDS: Final = {"server": _SERVER, "identity": _IDENTITY}


def serve(app: typer.Typer) -> None:
    """Give every verb that has `--url` and `--export` the two options too."""
    groups = [group.typer_instance for group in app.registered_groups]
    for verbs in (app, *(group for group in groups if group is not None)):
        for verb in verbs.registered_commands:
            if verb.callback is not None:
                verb.callback = _served(verb.callback)


def _served(verb: Callable[..., Any]) -> Callable[..., Any]:
    hints = get_type_hints(verb, include_extras=True)
    names = {option: name for name, kind in hints.items() for option in _options(kind)}
    if not {"--url", "--export"} <= names.keys():
        return verb
    url, export = names["--url"], names["--export"]

    @wraps(verb)
    def asked(**given: Any) -> object:  # noqa: ANN401 - what the command line says
        server, identity = given.pop("server"), given.pop("identity")
        if server is not None or identity is not None:
            if given[url] is not None or given[export] is not None:
                raise Refused(
                    "--server cannot be asked together with --url or --export",
                    todo="Name one of them.",
                    rule="no-ledger",
                )
            given[url] = str(mirrored(server, identity))
        answer: object = verb(**given)
        return answer

    asked.__signature__ = _with_server(verb, after=export)  # type: ignore[attr-defined]
    asked.__annotations__ = {**hints, **_KINDS}
    return asked


def _options(kind: object) -> tuple[str, ...]:
    """Return the flags of a parameter, as its type says."""
    told = next(iter(getattr(kind, "__metadata__", ())), None)
    # In `Annotated` typer takes its first flag for a default, and puts that right later.
    flags = (getattr(told, "default", None), *(getattr(told, "param_decls", None) or ()))
    return tuple(flag for flag in flags if isinstance(flag, str))


def _with_server(verb: Callable[..., Any], *, after: str) -> inspect.Signature:
    known = inspect.signature(verb, eval_str=True)
    params: list[inspect.Parameter] = []
    for param in known.parameters.values():
        params.append(param)
        if param.name == after:
            params += [
                inspect.Parameter(name, param.kind, default=None, annotation=kind)
                for name, kind in _KINDS.items()
            ]
    return known.replace(parameters=params)


def mirrored(server: str | None, identity: Path | None) -> Path:
    """Bring the mirror in an identity's folder up to date; return its file.

    Raises:
        Refused: one of both is not named, nobody is enrolled there, or the log was rewritten.
        Unavailable: the coordinator cannot be reached.
    """
    from governance.identity.folder import Identity
    from governance.ledger import mirror, own_certificate
    from governance.ledger.remote import LogLine

    if server is None or identity is None:
        raise Refused(
            "--server and --identity go together",
            todo="For example: concilium-ledger rounds --server HOST:PORT --identity me",
            rule="no-ledger",
        )
    host, _, port = server.rpartition(":")
    if not host or not port.isdecimal():
        raise Refused(
            f"--server is {server}, but must be HOST:PORT",
            todo=f"Yours is `coordinator` in {identity / 'federation.json'}.",
            rule="no-ledger",
        )
    at = datetime.now(UTC)
    known = own_certificate.current(Identity.load(identity), server, now=at)
    with LogLine(known, server) as line:
        return mirror.follow(known.folder, line, known.log, at=at)
