"""The command `tickforge`: its subcommands, and the exit code and message of every error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from tickforge_client._version import __version__
from tickforge_client.commands.checkpoints import checkpoint, checkpoints, download
from tickforge_client.commands.common import common_options, print_json
from tickforge_client.commands.completion import completion
from tickforge_client.commands.control import cancel, delete, pause, resume, stop
from tickforge_client.commands.curve import draw_curve, sign_link
from tickforge_client.commands.datasets import datasets
from tickforge_client.commands.events import show_events, show_logs
from tickforge_client.commands.export import export_jobs
from tickforge_client.commands.failures import EXIT_USAGE, error_exit_code, print_error
from tickforge_client.commands.forks import extend, fork
from tickforge_client.commands.history import show_history
from tickforge_client.commands.keys import keys
from tickforge_client.commands.predict import evaluate, generate, predict
from tickforge_client.commands.service import models, version, workers
from tickforge_client.commands.submit import plan, submit
from tickforge_client.commands.tenants import jobs, tenants, usage
from tickforge_client.commands.verify import verify
from tickforge_client.commands.watch import list_jobs, status, watch
from tickforge_client.commands.webhooks import webhooks
from tickforge_client.errors import TickforgeError

EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141  # 128 + SIGINT, SIGPIPE: as a shell reports them


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done (a watched job: succeeded), 1 the job failed or was cancelled, "
    "2 wrong usage or refused by the server, 3 server or network failing: a later try may succeed.",
)
@click.version_option(__version__, prog_name="tickforge")
@common_options
def tickforge() -> None:
    """Train models over HTTP, tick by tick.

    Server and key: --url and --key, else TICKFORGE_URL and TICKFORGE_KEY, else the config file
    that serve.py writes for the local user.
    """


for command in (
    submit, plan, status, list_jobs, watch, show_events, show_logs, show_history, draw_curve,
    export_jobs, sign_link, checkpoints,
    checkpoint, download, predict, generate, evaluate, fork, extend, verify, cancel, stop, pause,
    resume, delete, datasets, models, workers, keys, usage, tenants, jobs, webhooks, completion,
    version,
):  # fmt: skip
    tickforge.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are printed to standard error.

    With --json an error is a JSON object: the server's problem with its pointers, or title and
    detail.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = tickforge.main(words, prog_name="tickforge", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except click.ClickException as error:
        if "--json" in words:
            print_json({"title": "Wrong usage", "detail": error.format_message()}, err=True)
        else:
            error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # the reader of our output is gone: Python must not flush into the pipe at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except TickforgeError as error:
        print_error(error, as_json="--json" in words)
        return error_exit_code(error)


def run() -> None:
    """Run the command and exit the process with its code."""
    sys.exit(main())
