"""Before any signature: would this machine, this line and these data bear an agreement?"""

from site_agent.preflight.inspection import Wanted, inspect

__all__ = ["Wanted", "inspect"]
