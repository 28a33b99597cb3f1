"""Mutants of processes: what a fork keeps of its parent, and what a stop or a restart tells."""

from faults.mutants.mutant import Mutant, edit_once

FORKED = "tests/test_serving_forked_program.py"
HEALTH = "tests/test_api_health.py"
SUPPLY = "tests/test_workers_trainer_supply.py"

MUTANTS = (
    Mutant(
        "fork-keeps-descriptors",
        "a forked program has its parent's files and connections open",
        edit_once("serving/forked_program.py", "if int(name) > 2 and", "if int(name) > 999 and"),
        (f"{FORKED}::test_a_forked_program_has_no_handler_and_no_descriptor_of_its_parents",),
    ),
    Mutant(
        "fork-keeps-handlers",
        "a forked program has its parent's handlers: SIGTERM counts in it, and ends nothing",
        edit_once("serving/forked_program.py",
                  "if callable(signal.getsignal(number)):", "if False:"),
        (f"{FORKED}::test_a_forked_program_has_no_handler_and_no_descriptor_of_its_parents",),
    ),
    Mutant(
        "fork-outlives-its-parent",
        "API and workers go on after a killed serve.py",
        edit_once("serving/forked_program.py",
                  "        set_parent_death_signal(parent, signal.SIGKILL)\n", ""),
        (f"{FORKED}::test_a_forked_program_ends_with_a_killed_parent",),
    ),
    Mutant(
        "stopping-process-says-ready",
        "a process that takes no new requests says that it is ready",
        edit_once("api/routes_service.py",
                  "if context.deps.long_poller.notice_listener.is_closing:", "if False:"),
        (f"{HEALTH}::test_a_process_that_stops_is_alive_and_not_ready",),
    ),
    Mutant(
        "wake-up-forgotten-at-a-stop",
        "a worker that stops waits 30 s for a child that has just been given a wake-up",
        edit_once("workers/draining_pool.py", "if state.should_stop is None:", "if True:"),
        ("tests/test_workers_resume.py"
         "::test_a_worker_ends_though_a_wake_up_is_on_its_way_to_its_pool_child",),
    ),
    Mutant(
        "drain-waits-for-a-canary",
        "a worker that stops waits two minutes for a fork server that does not come up",
        edit_once("workers/runner.py",
                  "measure(threads, lambda: not self._drain.is_requested)", "measure(threads)"),
        ("tests/test_workers_resume.py"
         "::test_a_worker_ends_though_its_fork_server_has_not_come_up",),
    ),
    Mutant(
        "wake-ups-sent-late",
        "a slow reconciler sends wake-ups that another one has counted again",
        edit_once("jobs/celery_app.py", "if time.monotonic() >= until:", "if False:"),
        ("tests/test_jobs_wake_ups.py",),
    ),
    Mutant(
        "wake-up-for-a-busy-worker",
        "each submission sends a wake-up, which a busy worker does not take",
        edit_once("jobs/submissions.py",
                  "if self._queries.count_missing_wakeups(queue) > 0:", "if True:"),
        ("tests/test_api_jobs.py"
         "::test_submissions_to_a_busy_worker_leave_no_more_wake_ups_than_jobs_wait",),
    ),
    Mutant(
        "compiling-process-not-reaped",
        "the process that compiles ahead of jobs is a zombie until its worker stops",
        edit_once("workers/prewarm.py", "            self._process.poll()\n", "            pass\n"),
        ("tests/test_workers_prewarm.py",),
    ),
    Mutant(
        "freed-memory-kept",
        "each thread keeps an arena of its own with what it has freed",
        edit_once("jobs/allocator.py", "MAX_ARENAS = 2", "MAX_ARENAS = 64"),
        ("tests/test_jobs_allocator.py",),
    ),
    Mutant(
        "idle-worker-holds-a-trainer",
        "a trainer that was forked ahead of a job stays when no job comes",
        edit_once("workers/runner.py", "as sealing, closing(self._trainers):", "as sealing:"),
        (f"{SUPPLY}::test_the_next_jobs_trainer_is_there_before_its_claim"
         "_and_an_idle_worker_holds_none",),
    ),
    Mutant(
        "dead-trainer-ends-an-attempt",
        "an attempt breaks off because the trainer that was forked ahead has died",
        edit_once("workers/trainer_supply.py",
                  "                return None\n", "                raise\n"),
        (f"{SUPPLY}::test_a_trainer_that_was_forked_ahead_is_taken_and_one_that_died_is_not",),
    ),
    Mutant(
        "two-trainers-at-once",
        "a job begins while the memory of the last one's trainer is still taken",
        edit_once("workers/trainer_supply.py",
                  "        self._wait_ended()\n        return process\n",
                  "        return process\n"),
        (f"{SUPPLY}::test_a_trainer_is_waited_for_before_the_next_one_gets_its_job",),
    ),
    Mutant(
        "job-waits-for-the-last-ones-files",
        "the next job is not claimed before the last one's history is in files",
        edit_once("workers/sealing.py", "self._executor.submit(self._finalize, lease)",
                  "self._finalize(lease)"),
        (f"{SUPPLY}::test_a_job_trains_while_the_one_before_it_is_finalized",),
    ),
)  # fmt: skip
