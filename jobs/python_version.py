"""The oldest Python that the service runs on. Imports nothing that an older one may lack.

Before 3.11.3 the pinned redis-py and valkey-py need async-timeout, which requirements.txt does not
pin: asyncio.timeout of those patches can lose a cancellation.
"""

import sys

MIN_PYTHON = (3, 11, 3)


def require_python() -> None:
    """Exit with code 2 and one line on standard error below MIN_PYTHON.

    A program calls this before its other imports: they may fail on an older Python.
    """
    if sys.version_info < MIN_PYTHON:
        needed, present = (".".join(map(str, item[:3])) for item in (MIN_PYTHON, sys.version_info))
        line = f"Tickforge needs Python {needed} or newer; {sys.executable} is {present}"
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
