#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.3.4 av==18.1.0
# A variable-bitrate mp3 without a Xing header (a stream, or lame -t): ten quiet seconds, then ten loud ones.
# libsndfile guesses its length from the bit rate of the first frames and stops there. FFmpeg reads all of it.
cd "$work" && venv/bin/python - <<'PYTHON' 2> /dev/null
import io, platform, sys
import av, numpy as np, soundfile as sf

print("python", platform.python_version(), "soundfile", sf.__version__, sf.__libsndfile_version__, "av", av.__version__)
rate, noise = 44_100, np.random.default_rng(0)
time = np.arange(20 * rate) / rate
samples = np.stack([np.sin(2 * np.pi * 440 * time) * 0.3] * 2).astype(np.float32)
samples[:, 10 * rate :] += (noise.normal(size=(2, 10 * rate)) * 0.2).astype(np.float32)
made = io.BytesIO()
with av.open(made, "w", format="mp3", options={"write_xing": "0"}) as out:
    stream = out.add_stream("libmp3lame", rate=rate, options={"global_quality": "472", "flags": "+qscale"})
    stream.layout = "stereo"
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
    frame.sample_rate = rate
    for part in [*av.AudioResampler(stream.format, "stereo", rate).resample(frame), None]:
        out.mux([packet for packet in stream.encode(part) if packet.size])
open("made.mp3", "wb").write(made.getvalue())
heard = len(sf.read("made.mp3")[0])
frames = sum(frame.samples for frame in av.open("made.mp3").decode(audio=0))
print(f"expected about {samples.shape[1]} samples; FFmpeg {frames}, soundfile {heard} ({heard / frames:.0%}), no error")
sys.exit(not (frames >= samples.shape[1] and heard < 0.6 * frames))
PYTHON
