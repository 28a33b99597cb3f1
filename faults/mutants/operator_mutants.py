"""Mutants of what an operator relies on: addresses, logs, cursors after a rebuild, folders."""

from faults.mutants.mutant import Mutant, edit_once

CURSORS = "tests/test_jobs_rebuilt_cursors.py"
ADDRESSES = "tests/test_jobs_store_addresses.py"

MUTANTS = (
    Mutant(
        "password-in-an-error",
        "a wrong address is repeated in the error that is logged, its password with it",
        edit_once("jobs/settings.py", "_invalid(name, describe_refused(value), str(error))",
                  "_invalid(name, value, str(error))"),
        (f"{ADDRESSES}::test_no_error_and_no_log_line_shows_a_password",),
    ),
    Mutant(
        "password-in-the-brokers-address",
        "Celery gets the address whole, and shows it in its log",
        edit_once("jobs/celery_app.py", "    place = describe_address(address)\n",
                  '    place = address.partition("://")[2]\n'),
        (f"{ADDRESSES}::test_no_error_and_no_log_line_shows_a_password",),
    ),
    Mutant(
        "address-option-ignored",
        "the broker's connections do not have the options of its address: no job is ever run",
        edit_once("jobs/broker_transport.py", "        return {**params, **options}\n",
                  "        return params\n"),
        (f"{ADDRESSES}::test_a_broker_gets_messages_at_each_spelling_of_an_address",),
    ),
    Mutant(
        "unknown-address-option-accepted",
        "an option that is not read is taken without a word",
        edit_once("jobs/store_address.py", "        if name not in known:\n",
                  "        if False:\n"),
        (f"{ADDRESSES}::test_an_address_that_is_not_read_whole_is_refused",),
    ),
    Mutant(
        "event-numbers-come-again",
        "after a rebuild new events have the numbers of those that the lost store had shown",
        edit_once("jobs/store/lua/restore.lua", "redis.call('HSET', job, 'rebuilds', ",
                  "redis.call('ECHO', "),
        (f"{CURSORS}::test_a_client_that_goes_on_from_its_cursor_misses_and_repeats_no_event",),
    ),
    Mutant(
        "rebuilds-not-counted",
        "a second rebuild gives out the numbers of the first one",
        edit_once("jobs/archive/store_identity.py", 'count = int(record.get("rebuilds", 0)) + 1',
                  "count = 1"),
        (f"{CURSORS}::test_a_client_that_goes_on_from_its_cursor_misses_and_repeats_no_event",),
    ),
    Mutant(
        "log-entry-forged",
        "what a client wrote begins a line of the log, or steers the terminal that shows it",
        edit_once("jobs/logs.py", "[_escape_texts, ", "["),
        ("tests/test_jobs_logs.py",),
    ),
    Mutant(
        "terminal-steered-by-a-log",
        "the client writes a job's log to a terminal as it is",
        edit_once("client/tickforge_client/commands/common.py",
                  "    if not sys.stdout.isatty():\n        return _write_bytes\n",
                  "    return _write_bytes\n"),
        ("tests/test_client_cli.py::test_a_terminal_is_shown_a_log_without_what_steers_it",),
    ),
    Mutant(
        "living-owners-folder-removed",
        "a start removes the temporary folders of services that live",
        edit_once("jobs/files/locked_folder.py",
                  "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
                  "        pass\n"),
        ("tests/test_workers_parts.py::"
         "test_the_folder_of_a_killed_worker_is_removed_by_the_next_and_no_other",),
    ),
    Mutant(
        "socket-by-its-long-path",
        "a worker's fork server is not reached where temporary files have a long path",
        edit_once("workers/forkserver_client.py",
                  'client.connect(f"/proc/self/fd/{folder}/{path.name}")',
                  "client.connect(str(path))"),
        ("tests/test_ticks_commands.py::"
         "test_a_socket_is_bound_and_met_at_a_path_of_any_length",),
    ),
    Mutant(
        "deleted-key-waits-on",
        "a wait goes on to its end after its key was deleted",
        edit_once("api/long_polling.py", "                    watch.check()\n", ""),
        ("tests/test_api_long_polling.py::test_a_deleted_key_ends_its_waits_with_401",),
    ),
)  # fmt: skip
