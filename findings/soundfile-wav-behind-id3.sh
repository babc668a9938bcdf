#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.3.4
# A WAV of 132,300 samples behind an ID3v2 tag of 400,000 bytes, as taggers made for mp3 leave it.
# By path libsndfile skips the tag and reads all samples. Through Python file objects, open files and BytesIO alike, it
# skips the tag too, but takes the tag's bytes off the samples: the last three quarters are missing, without an error.
cd "$work" && venv/bin/python - <<'PYTHON'
import io, platform, sys
import numpy as np, soundfile as sf

print("python", platform.python_version(), "soundfile", sf.__version__, sf.__libsndfile_version__)
made = io.BytesIO()
sf.write(made, np.random.default_rng(0).normal(size=(132_300, 2)) * 0.1, 44_100, format="WAV", subtype="PCM_16")
size = 400_000
tag = b"ID3\x03\x00\x00" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)
data = tag + made.getvalue()
open("tagged.wav", "wb").write(data)
by_path = len(sf.read("tagged.wav")[0])
with open("tagged.wav", "rb") as file:
    from_file = len(sf.read(file)[0])
from_memory = len(sf.read(io.BytesIO(data))[0])
print("expected 132300 three times; by path", by_path, "from an open file", from_file, "from memory", from_memory)
sys.exit((by_path, from_file, from_memory) != (132_300, 32_297, 32_297))
PYTHON
