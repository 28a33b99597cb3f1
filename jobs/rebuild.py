"""Rebuilds an empty store from the artifacts; serving.rebuild does it for serve.py's own store.

`python -m jobs.rebuild` is for a store whose own files are lost. API and workers must not run
meanwhile. The store's uuid is written last, so that API and workers refuse the store of an
interrupted rebuild: empty it and start again. Broken records are reported and left out.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobs.archive import store_identity
from jobs.archive.backfill import ARCHIVE_FORM, backfill
from jobs.archive.format import BrokenArchive
from jobs.archive.reader import ArchiveReader
from jobs.archive.restore import RestoreError, Restorer
from jobs.archive.restore_webhooks import restore_webhook, restore_webhook_tombstone
from jobs.errors import DiskUnavailable, InvalidSetting, StoreFull, UnsafeStore
from jobs.files.artifacts import ArtifactStore, UnsafePath, hide_new_files
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import UNAVAILABLE, Store, check_store, connect
from jobs.tenants import recount_tenants

ArchiveRecord = dict[str, Any]
PROGRESS_EVERY_JOBS = 500  # between two lines of progress


class Rebuild:
    """One rebuild; without a restorer, a dry run."""

    def __init__(
        self, files: ArtifactStore, restorer: Restorer | None, print_line: Callable[[str], None]
    ) -> None:
        self._reader, self._print_line = ArchiveReader(files), print_line
        self._restorer = restorer
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []

    def run(self) -> None:
        """Restore everything: datasets, keys and webhooks before the jobs that refer to them."""
        self._restore("secrets", "secrets", Restorer.restore_secret)
        self._restore("deleted-datasets", "deleted datasets", Restorer.restore_dataset_tombstone)
        self._restore("datasets", "datasets", Restorer.restore_dataset, self._reader.check_bytes)
        self._restore("deleted-keys", "deleted keys", Restorer.restore_key_tombstone)
        self._restore("keys", "keys", Restorer.restore_key)
        self._restore("tenants", "tenants", Restorer.restore_tenant)
        self._restore("deleted-webhooks", "deleted webhooks", restore_webhook_tombstone)
        self._restore("webhooks", "webhooks", restore_webhook)
        self._restore("deleted", "deleted jobs", Restorer.restore_job_tombstone)
        names = self._reader.job_names()
        for number, (tenant, job_id) in enumerate(names, 1):
            self._restore_job(tenant, job_id)
            if number % PROGRESS_EVERY_JOBS == 0:
                self._print_line(f"{number} of {len(names)} jobs")

    def _restore(
        self,
        folder: str,
        label: str,
        restore: Callable[[Restorer, ArchiveRecord], None],
        check: Callable[[ArchiveRecord], None] = lambda _record: None,
    ) -> None:
        for record in self._reader.read_records(folder):
            try:
                if isinstance(record, BrokenArchive):
                    raise record
                check(record)
                if self._restorer is not None:
                    restore(self._restorer, record)
            except BrokenArchive as error:
                self.errors.append(str(error))
            else:
                self.counts[label] += 1

    def _restore_job(self, tenant: str, job_id: str) -> None:
        try:
            job = self._reader.read_job(tenant, job_id)
            status = job.status if self._restorer is None else self._restorer.restore_job(job)
        except (BrokenArchive, RestoreError, UnsafePath) as error:
            self.errors.append(f"not restored: {error}")
        else:
            self.counts[f"{status} jobs"] += 1
            self.errors += job.problems


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Rebuild; return 0, 1 if something was left out, or 2 if nothing was done."""
    args = _parser().parse_args(argv)
    hide_new_files()
    placeholder_env = {"TICKFORGE_REDIS_URL": "unix:///nowhere"} if args.dry_run else {}
    try:
        settings = Settings.from_env({**placeholder_env, **environ})
        files = ArtifactStore(settings.artifacts)
        if args.dry_run:
            return _run_and_report(Rebuild(files, None, _print_line), "would be restored")
        store = connect(settings.redis_url)
        check_store(store, unchecked=settings.store_unchecked)
        return _adopt(store, files) if args.adopt else rebuild(store, files)
    except (
        InvalidSetting, UnsafeStore, StoreFull, DiskUnavailable, BrokenArchive, *UNAVAILABLE,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 2


def rebuild(store: Store, files: ArtifactStore) -> int:
    """Fill an empty store; return 0, or 1 if something was left out. Raises UnsafeStore."""
    if size := store.dbsize():
        raise UnsafeStore(
            f"the server is not empty ({size} keys): a rebuild fills an empty one, so that nothing "
            "is mixed. Stop API and workers, empty it (FLUSHALL), and run this again"
        )
    store_uuid = store_identity.read_store_id(files)
    if store_uuid is None:
        raise UnsafeStore(f"the artifacts in {files.root} are of no store: nothing can be rebuilt")
    restorer = Restorer(store, store_identity.count_rebuild(files))
    code = _run_and_report(Rebuild(files, restorer, _print_line), "restored")
    restorer.skip_sequences()
    recount_tenants(store)
    store.set(keys.ARCHIVED, ARCHIVE_FORM)
    store.set(keys.STORE_UUID, store_uuid)  # last: it marks the store as complete
    return code


def _adopt(store: Store, files: ArtifactStore) -> int:
    """Make the artifacts this store's, and archive everything that the store has."""
    if (recorded_uuid := store_identity.read_store_id(files)) is not None:
        raise UnsafeStore(f"the artifacts in {files.root} are of store {recorded_uuid} already")
    store.delete(keys.STORE_UUID, keys.ARCHIVED)
    store_identity.check_store_matches(store, files)
    backfill(store, files)
    print(f"the artifacts in {files.root} are this store's now")
    return 0


def _run_and_report(rebuild: Rebuild, outcome: str) -> int:
    rebuild.run()
    for label, count in sorted(rebuild.counts.items()):
        print(f"{count:>8} {label} {outcome}")
    for error in rebuild.errors:
        print(f"broken: {error}", file=sys.stderr)
    print(f"{len(rebuild.errors):>8} faults")
    return 1 if rebuild.errors else 0


def _print_line(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jobs.rebuild",
        description="Make an empty store what the artifacts say, after the store was lost: jobs, "
        "keys, datasets, and what was deleted stays deleted. Jobs that ran go on from their last "
        "checkpoint, and make the ticks since then again. Stop API and workers first. Settings "
        "come from the environment (TICKFORGE_REDIS_URL, TICKFORGE_DATA_DIR, ...).",
        epilog="Exit codes: 0; 1 if something broken was left out (each is named); 2 if nothing "
        "was done.",
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--dry-run", action="store_true", help="read and check all files, change nothing")
    option(
        "--adopt", action="store_true",
        help="the other way round: write what the store knows into artifacts that know no store",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
