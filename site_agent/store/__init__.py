"""The site's own database: what it signed, what it owes the coordinator, what it has spent."""

from site_agent.store.database import Store

__all__ = ["Store"]
