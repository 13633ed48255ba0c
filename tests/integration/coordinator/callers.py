"""Who calls the coordinator: certificates made for the purpose, and what becomes of a call."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import grpc
from scripted_site import PATIENCE_S, channel_to

from governance.identity.authority import Authority
from governance.identity.certificate import make_csr, make_tls_key
from governance.identity.keys import private_pem
from protos.concilium.v1 import federation_pb2, federation_pb2_grpc

DENIED = grpc.StatusCode.PERMISSION_DENIED
NO_CONNECTION = {grpc.StatusCode.UNAVAILABLE}


def papers(fed, *, authority=None, role="site", name="amc", now=None):
    """Return an identity with a certificate that an authority issues for a new key."""
    mine = fed.folders.identity("amc")
    authority = authority or Authority.load(fed.folders.coordinator)
    key = make_tls_key()
    issued = authority.issue(make_csr(key), name=name, role=role, now=now or datetime.now(UTC))
    return dataclasses.replace(
        mine,
        role=role,
        name=name,
        tls_key_pem=private_pem(key, passphrase=None),
        tls_chain_pem=issued.pem_chain,
    )


async def status_of(identity):
    """Ask for a model; return the status that it ends with."""
    async with channel_to(identity) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        asked = federation_pb2.UploadRef(round=1, attempt=1, digest="0" * 64, size=1)
        try:
            await stub.UploadStatus(asked, timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK
