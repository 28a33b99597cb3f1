#!/usr/bin/env bash
# scikit-learn 1.9.1: R² of a constant target is 0, or -5e31, by how many rows there are.
#
# Expected: r2_score says that for a constant y_true the score is 1.0 for perfect predictions and 0.0
#   for others (force_finite=True, the default), or NaN and -inf (force_finite=False).
# Is: the test for "constant" is that the sum of squared deviations from the computed mean is 0.0. The
#   mean of n equal numbers is often not that number in binary: of 0.1 three times it is
#   0.10000000000000002. The sum is then some 1e-34, and the score of predictions that are off by 0.1
#   is -5.2e31, finite with either option. It depends on value, number of rows and dtype: 0.1 is
#   "constant" in 10 rows and not in 3, 6, 100 or 1,000; in float32 the score is -1.1e13.
# Why it matters: a held-out part with one value of the target (rare events, a group, the last rows of
#   a series) gives a mean over folds or columns, an early stopping or a leaderboard of -1e30 instead
#   of the documented 0; cross_val_score and score() of every regressor take it from here.
# Way out: compare the least and the greatest value (y.min() == y.max()) before r2_score is called.
#
# Exit code 0: as described. 1: not any more. 3: cannot be tried here. At most 2 minutes.
# SKLEARN_PYTHON=/path/to/python: use its packages.
set -euo pipefail
folder=$(mktemp -d /tmp/r2-constant-XXXXXX)
trap 'rm -rf "$folder"' EXIT
python=${SKLEARN_PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 || exit 3
    python=$folder/venv/bin/python
fi
"$python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.metrics import r2_score

print("scikit-learn", version("scikit-learn"), "numpy", version("numpy"))


def scores(rows, **options):
    target = np.full(rows, 0.1)
    return r2_score(target, target + 0.1, **options)


documented = {rows: scores(rows) for rows in (10, 33)}
surprising = {rows: scores(rows) for rows in (3, 6, 100, 1000)}
unforced = {rows: scores(rows, force_finite=False) for rows in (3, 10)}
model = DummyRegressor(strategy="constant", constant=0.2).fit(np.zeros((4, 1)), [0.1, 0.2, 0.3, 0.4])
by_score = model.score(np.zeros((3, 1)), np.full(3, 0.1))
for name, values in (("as documented", documented), ("not so", surprising), ("not forced", unforced)):
    print(name, values)
print("score() of a regressor on three rows", by_score)
is_so = (
    all(value == 0.0 for value in documented.values())
    and all(-1e33 < value < -1e28 for value in surprising.values())
    and unforced[10] == -np.inf and np.isfinite(unforced[3])
    and by_score < -1e28
)
sys.exit(0 if is_so else 1)
PYTHON
