"""Freed memory goes back to the system, now and then."""

import subprocess
import sys

# Blocks small enough to lie in the heap, one in fifty of which stays and holds it together.
_SCRIPT = """
from pathlib import Path
from infra.workers import memory

def resident_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

blocks = [bytearray(100_000) for _ in range(2000)]
blocks = blocks[::50]
held = resident_mb()
memory.give_back()
freed = held - resident_mb()
more = [bytearray(100_000) for _ in range(1000)][::50]
held = resident_mb()
memory.give_back()
print(freed, held - resident_mb())
"""


def test_holes_in_the_heap_are_given_back_but_not_at_every_call() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    first, at_once = map(float, done.stdout.split())
    assert first > 100.0
    assert abs(at_once) < 10.0
