"""The whole service on one machine: embedded store, API and workers (`python serve.py --help`)."""

import os
import sys

from jobs.python_version import require_python

require_python()

from serving.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
