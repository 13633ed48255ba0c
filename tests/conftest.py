"""What all tests share: examples are judged by what they show, never by the clock."""

from __future__ import annotations

from hypothesis import settings

from governance.identity.tls import pin_tls13

pin_tls13()  # before any test loads gRPC

settings.register_profile("concilium", deadline=None)
settings.load_profile("concilium")
