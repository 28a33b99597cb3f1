"""Small texts as data, and specs of small language models on them."""

import hashlib
import random
from pathlib import Path
from typing import Any

from jobs.spec.dataset_binding import DataFile
from jobs.spec.dataset_checks import KnownDataset
from jobs.spec.job_spec import JobSpec
from jobs.spec.profiles import DatasetProfile
from jobs.spec.reading import read_spec
from jobs.spec.text import TextFacts

TINY: dict[str, Any] = {"family": "transformer_lm", "layers": 2, "heads": 2, "width": 8}
IDS = {"text": "ds_" + "a" * 26, "other": "ds_" + "b" * 26}


def text_facts(text: str) -> TextFacts:
    """Return the profile of a text."""
    size, characters = len(text.encode()), len(text)
    return TextFacts(bytes=size, characters=characters, vocabulary=sorted(set(text)))


def random_text(length: int, alphabet: str = "abcdeéÅ世😀 .\n", seed: int = 0) -> str:
    """Make a text of `length` characters of one to four bytes."""
    generator = random.Random(seed)
    return "".join(generator.choice(alphabet) for _ in range(length))


def lm_spec(window: int = 8, model: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    """Read a spec of a small language model; `text` and `other` are the texts of its datasets."""
    texts = {name: fields.pop(name) for name in IDS if name in fields}

    def look_up(dataset_id: str) -> KnownDataset | None:
        name = next(name for name, known_id in IDS.items() if known_id == dataset_id)
        facts = text_facts(texts[name])
        sha256 = hashlib.sha256(texts[name].encode()).hexdigest()
        source = DataFile(
            path=f"{name}.txt", sha256=sha256, bytes=facts.bytes, type="text/plain", text=facts
        )
        return KnownDataset(source, DatasetProfile(text=facts))

    data = {"source": "example", "name": "genesis", "window": window}
    if "text" in texts:
        data = {"source": "dataset", "id": IDS["text"], "window": window}
    body = {"model": TINY | (model or {}), "data": data, "budget": {"ticks": 20}, **fields}
    return read_spec(body, max_parameters=10**7, datasets=look_up)


def write_texts(folder: Path, **texts: str) -> Path:
    """Write texts where a trainer looks for those of lm_spec; return the folder."""
    for name, text in texts.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    return folder
