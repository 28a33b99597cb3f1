"""A library to be preloaded, built by gcc where there is one.

It records, for every file that is synced, how far the sync reached (a power cut leaves no more),
and shifts the clock by what a file says. Without gcc the faults that need it are not run.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "preload.c"


@dataclass(frozen=True)
class Preload:
    """The built library and its two files, or nothing without gcc."""

    library: Path | None
    synced: Path
    clock: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables for a process that is to be watched."""
        if self.library is None:
            return {}
        library, synced, clock = map(str, (self.library, self.synced, self.clock))
        return {"LD_PRELOAD": library, "FAULTS_SYNCED": synced, "FAULTS_CLOCK": clock}

    def step_clock(self, seconds: int) -> None:
        """Shift the clock of the watched processes from now on."""
        draft = self.clock.with_suffix(".draft")
        draft.write_text(f"{seconds}\n")
        draft.rename(self.clock)

    def cut_to_synced(self, folder: Path) -> int:
        """Cut the files below a folder to their synced length; return how many bytes went."""
        removed_bytes = 0
        for note in self.synced.iterdir():
            text, _, path = note.read_text().strip().partition(" ")
            file, size = Path(path), int(text)
            if file.is_relative_to(folder) and file.is_file() and file.stat().st_size > size:
                removed_bytes += file.stat().st_size - size
                os.truncate(file, size)
        return removed_bytes


def build_preload(folder: Path) -> Preload:
    """Build the library in a folder."""
    library, synced = folder / "preload.so", folder / "synced"
    synced.mkdir()
    gcc = shutil.which("gcc")
    if gcc is not None:
        command = [gcc, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
    return Preload(library if gcc else None, synced, folder / "clock")
