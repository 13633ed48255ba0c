"""A program of a federation, as it is or so that it dies at a named instruction.

    python armed.py coordinator|site|light POINT TURN FILE

POINT `-` is none. `light` is an agent whose worker draws an update instead of training one:
all else is the agent itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path[:0] = [
    str(_TESTS / place) for place in ("chaos", "e2e", "integration/coordinator", ".")
]


def main(program, name, turn, file):
    if program == "coordinator":
        from coordinator import cli, service  # noqa: F401 - every module is there to be wrapped

        sys.argv = ["concilium-coordinator", "serve", "--folder", file]
    else:
        from site_agent import cli, member  # noqa: F401 - as above

        sys.argv = ["concilium-site", "run", "--site", file]
        if program == "light":
            import light

            light.take_over()
    if name != "-":
        import points
        from killing import plant

        known = points.COORDINATOR if program == "coordinator" else points.SITE
        plant(known[name]._replace(turn=int(turn)))
    cli.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
