#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
# Cross-validation is repeated with other seeds to see how much a score owes to the split. StratifiedGroupKFold deals
# groups in the order of how their class counts vary, so that the seed only orders groups that are alike: where groups
# differ in size, as artists do, every random_state gives the very same folds, and the spread over repeats is 0 by
# construction. GroupKFold(shuffle=True) and ShuffleSplit do change with it.
cd "$work" && venv/bin/python - <<'PYTHON'
import platform, sys
from itertools import combinations
import numpy as np, sklearn
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

print("python", platform.python_version(), "scikit-learn", sklearn.__version__)
sizes = [200 // rank for rank in range(1, 31)]
groups = np.repeat(np.arange(30), sizes)
classes = groups % 5


def agreement(make):
    """Mean adjusted Rand index between the fold numbers of five seeds: 1 is the same split, 0 is chance."""
    folds = []
    for seed in range(5):
        number = np.empty(len(groups), int)
        for fold, (_, test) in enumerate(make(seed).split(groups[:, None], classes, groups)):
            number[test] = fold
        folds.append(number)
    return float(np.mean([adjusted_rand_score(a, b) for a, b in combinations(folds, 2)]))


stratified = agreement(lambda seed: StratifiedGroupKFold(5, shuffle=True, random_state=seed))
plain = agreement(lambda seed: GroupKFold(5, shuffle=True, random_state=seed))
print(f"30 groups of 200/rank songs, five seeds: StratifiedGroupKFold {stratified:.3f}, GroupKFold {plain:.3f}")
print("expected for both: far from 1")
sys.exit(not (stratified > 0.999 and plain < 0.6))
PYTHON
