"""The ledger's scripts with some of their text replaced: a constant, or a line that must matter."""

from collections.abc import Sequence

import redis

from faults.mutants.mutant import EditNotApplicable
from jobs.store.scripts import LUA_FOLDER, Scripts, read_source

Edits = Sequence[tuple[str, str]]  # old text, new text


class EditedScripts(Scripts):
    """Scripts with replacements; each replaced text occurs at most once in a script, and in one of
    them.
    """

    def __init__(self, store: "redis.Redis", edits: Edits) -> None:
        super().__init__(store)
        applied = set()
        for name in (file.stem for file in LUA_FOLDER.glob("*.lua") if file.stem != "prelude"):
            text = read_source(name)
            for old, new in edits:
                if old in text:
                    if text.count(old) != 1:
                        raise EditNotApplicable(f"{old!r} is more than once in {name}")
                    text = text.replace(old, new)
                    applied.add(old)
            self._registered[name] = store.register_script(text)
        if stale := {old for old, _ in edits} - applied:
            raise EditNotApplicable(f"in no script: {stale}")  # no assertion: a test may expect one
