"""nDCG by ranx, as a program: JSON cases on stdin, their values on stdout. Numba is off: compiling takes a minute."""

import json
import os
import sys

os.environ["NUMBA_DISABLE_JIT"] = "1"

from ranx import Qrels, Run, evaluate  # pyright: ignore[reportMissingImports]


def main() -> None:
    values = []
    for case in json.load(sys.stdin):
        found = evaluate(Qrels(case["held"]), Run(case["scores"]), f"ndcg@{case['k']}", return_mean=False)
        values.append(dict(zip(sorted(case["held"]), [float(value) for value in found], strict=True)))
    json.dump(values, sys.stdout)


if __name__ == "__main__":
    main()
