#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.3.4 av==18.1.0
# Ogg Vorbis streams one after the other, as a web radio that was recorded: each is a link of a chain, and says by its
# granule positions that it holds 220,500 samples. FFmpeg carries its decoder from link to link: from the second one on
# the samples of a packet that only primes the decoder are given out, and all that follows is late.
cd "$work" && venv/bin/python - <<'PYTHON' 2> /dev/null
import io, platform, sys
import av, numpy as np, soundfile as sf

print("python", platform.python_version(), "soundfile", sf.__version__, sf.__libsndfile_version__, "av", av.__version__)
links = []
for seed in range(10):
    made = io.BytesIO()
    samples = np.random.default_rng(seed).normal(size=(220_500, 2)) * 0.1
    sf.write(made, samples, 44_100, format="OGG", subtype="VORBIS")
    links.append(made.getvalue())


def count(data):
    return sum(frame.samples for frame in av.open(io.BytesIO(data), format="ogg").decode(audio=0))


alone, chained = [count(link) for link in links], count(b"".join(links))
print("each link alone", set(alone), "; expected of ten in a chain", sum(alone), "; seen", chained)
print("more a link:", (chained - sum(alone)) / 9)
sys.exit(not (set(alone) == {220_500} and chained - sum(alone) == 9 * 128))
PYTHON
