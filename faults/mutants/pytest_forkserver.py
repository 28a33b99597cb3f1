"""Run pytest again and again without loading torch each time: a process that forks for every run.

A script, started in the copy of the tree that it tests. It imports nothing of that tree itself, so
each run sees the code as it is then. Input: a line of JSON with the log's path, whether bytecode
may be written (a mutant's would outlive it), and pytest's arguments. Output: a line with the exit
code.
"""

import json
import os
import sys
from typing import NoReturn

import celery
import flask
import httpx
import kombu
import numpy
import psutil
import pydantic
import pytest
import redis
import safetensors.torch
import structlog
import torch
import werkzeug.routing

PRELOADED_MODULES = (
    celery, flask, httpx, kombu, numpy, psutil, pydantic, redis, safetensors, structlog, torch,
    werkzeug,
)  # fmt: skip


def main() -> None:
    """Run pytest for each line of standard input."""
    sys.path[0] = os.getcwd()  # it was the folder of this script
    for line in sys.stdin:
        log, writes_bytecode, *arguments = json.loads(line)
        child = os.fork()
        if child == 0:
            sys.dont_write_bytecode = not writes_bytecode
            _run(log, arguments)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(log: str, arguments: list[str]) -> NoReturn:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    code = pytest.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


if __name__ == "__main__":
    main()
