"""Make data/digits.csv and its profile again from scikit-learn, byte for byte.

    pip install scikit-learn && python examples/make_digits.py

The service does not need it: its result lies in this folder.
"""

import json
from pathlib import Path

from sklearn.datasets import load_digits  # type: ignore[import-not-found]

FOLDER = Path(__file__).parent / "data"
PROFILE = {
    "rows": 1797,
    "features": 64,
    "outputs": 10,
    "kind": "class",
    "classes": 10,
    "description": "8x8 images of handwritten digits: 64 pixels from 0 to 16, and which digit",
    "source": "Optical Recognition of Handwritten Digits (its test set), UCI Machine Learning "
    "Repository, as scikit-learn's load_digits() gives it",
    "licence": "CC BY 4.0, see DIGITS_LICENCE.md",
}


def main() -> None:
    """Write both files."""
    digits = load_digits()
    pixels = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    lines = [",".join([*pixels, "label"])]
    for image, label in zip(digits.data, digits.target, strict=True):
        lines.append(",".join(str(int(value)) for value in [*image, label]))
    assert (len(lines) - 1, len(pixels)) == (PROFILE["rows"], PROFILE["features"])
    (FOLDER / "digits.csv").write_text("\n".join(lines) + "\n")
    (FOLDER / "digits.json").write_text(json.dumps(PROFILE, indent=1) + "\n")


if __name__ == "__main__":
    main()
