"""Makes an empty store what the artifacts say: `python -m jobs.rebuild`.

For the day the store's own files are lost. API and workers must not run meanwhile. The store's uuid
is written last: what a rebuild that was cut short has left is refused by every start, and to be
emptied. What is broken is named and left out; exit code 1 says that there was such.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobs import keys
from jobs.archive import identity
from jobs.archive.adoption import adopt
from jobs.archive.lines import BrokenArchive
from jobs.archive.restore import NotRestored, Restorer
from jobs.archive.stock import Stock
from jobs.errors import BadSetting, StoreFull, WeakStore
from jobs.files import Files, UnsafePath
from jobs.settings import Settings
from jobs.store import AWAY, Store, check_store, connect

Record = dict[str, Any]
EVERY = 500  # jobs between two lines that say how far it is


class Rebuild:
    """One rebuild, or (without a store) one look at what a rebuild would do."""

    def __init__(self, files: Files, store: Store | None, say: Callable[[str], None]) -> None:
        self._stock, self._say = Stock(files), say
        self._restorer = None if store is None else Restorer(store)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def run(self) -> None:
        """Restore all: what others name first."""
        self._each("secrets", "secrets", Restorer.secret)
        self._each("deleted-datasets", "deleted datasets", Restorer.dataset_tombstone)
        self._each("datasets", "datasets", Restorer.dataset, self._stock.check_bytes)
        self._each("deleted-keys", "deleted keys", Restorer.key_tombstone)
        self._each("keys", "keys", Restorer.key)
        self._each("deleted", "deleted jobs", Restorer.job_tombstone)
        names = self._stock.job_names()
        for number, (tenant, job_id) in enumerate(names, 1):
            self._job(tenant, job_id)
            if number % EVERY == 0:
                self._say(f"{number} of {len(names)} jobs")

    def _each(
        self,
        folder: str,
        what: str,
        restore: Callable[[Restorer, Record], None],
        check: Callable[[Record], None] = lambda _record: None,
    ) -> None:
        for record in self._stock.records(folder):
            try:
                if isinstance(record, BrokenArchive):
                    raise record
                check(record)
                if self._restorer is not None:
                    restore(self._restorer, record)
            except BrokenArchive as error:
                self.faults.append(str(error))
            else:
                self.counts[what] += 1

    def _job(self, tenant: str, job_id: str) -> None:
        try:
            kept = self._stock.job(tenant, job_id)
            status = kept.status if self._restorer is None else self._restorer.job(kept)
        except (BrokenArchive, NotRestored, UnsafePath) as error:
            self.faults.append(f"not restored: {error}")
        else:
            self.counts[f"{status} jobs"] += 1
            self.faults += kept.faults


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Rebuild; return the exit code: 0, 1 if something was left out, 2 if nothing was done."""
    asked = _parser().parse_args(argv)
    nowhere = {"TICKFORGE_REDIS_URL": "unix:///nowhere"} if asked.dry_run else {}
    try:
        settings = Settings.from_env({**nowhere, **environ})
        files = Files(settings.artifacts)
        if asked.dry_run:
            return _told(Rebuild(files, None, _say), "would be restored")
        store = connect(settings.redis_url)
        check_store(store, unchecked=settings.store_unchecked)
        return _adopt(store, files) if asked.adopt else rebuild(store, files)
    except (BadSetting, WeakStore, StoreFull, BrokenArchive, *AWAY) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def rebuild(store: Store, files: Files) -> int:
    """Fill an empty store; return the exit code. Raises WeakStore for one that is not empty."""
    if size := store.dbsize():
        raise WeakStore(
            f"the server is not empty ({size} keys): a rebuild fills an empty one, so that nothing "
            "is mixed. Stop API and workers, empty it (FLUSHALL), and run this again"
        )
    store_uuid = identity.uuid_of(files)
    if store_uuid is None:
        raise WeakStore(f"the artifacts in {files.root} are of no store: nothing can be rebuilt")
    code = _told(Rebuild(files, store, _say), "restored")
    store.set(keys.ARCHIVED, "1")
    store.set(keys.STORE_UUID, store_uuid)  # last: with it the store counts as whole
    return code


def _adopt(store: Store, files: Files) -> int:
    """Make the artifacts' folder this store's, and keep in it all that the store has."""
    if (theirs := identity.uuid_of(files)) is not None:
        raise WeakStore(f"the artifacts in {files.root} are of store {theirs} already")
    store.delete(keys.STORE_UUID, keys.ARCHIVED)
    identity.check_same(store, files)
    adopt(store, files)
    print(f"the artifacts in {files.root} are this store's now")
    return 0


def _told(rebuild: Rebuild, done: str) -> int:
    rebuild.run()
    for what, count in sorted(rebuild.counts.items()):
        print(f"{count:>8} {what} {done}")
    for fault in rebuild.faults:
        print(f"broken: {fault}", file=sys.stderr)
    print(f"{len(rebuild.faults):>8} faults")
    return 1 if rebuild.faults else 0


def _say(text: str) -> None:
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
