"""musicnn's package, 29 MB of PyPI: from $MUSICNN_WHEEL, or fetched once with pip without what it depends on."""

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

_NAME = "musicnn-0.1.0-py3-none-any.whl"


@cache
def musicnn_wheel() -> Path:
    """Where it lies; the test is skipped where it is not to be had."""
    kept = Path(
        os.environ.get("MUSICNN_WHEEL", "") or Path(tempfile.gettempdir()) / f"hdpgmm-{os.getuid()}" / _NAME
    )
    if not kept.is_file():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "musicnn==0.1.0"]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([*command, "--dest", folder], capture_output=True, text=True, timeout=240)
            if done.returncode:
                pytest.skip(f"musicnn==0.1.0 cannot be fetched with pip: {done.stderr.strip()[-200:]}")
            kept.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not there, whoever else fetches it.
            staged = kept.with_name(f"{_NAME}.{os.getpid()}")
            staged.write_bytes((Path(folder) / _NAME).read_bytes())
            staged.replace(kept)
    return kept
