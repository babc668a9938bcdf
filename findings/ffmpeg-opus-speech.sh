#!/usr/bin/env bash
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.3.4 av==18.1.0
# One Opus stream, decoded by libopus and by FFmpeg's own decoder (the one that `ffmpeg` takes unasked). In music mode
# (CELT) they agree to a thousandth. In speech mode (SILK, as low bit rates of voice choose it) they differ by a fifth
# (rms), and no shift by whole samples makes it less than 15 %.
cd "$work" && venv/bin/python - <<'PYTHON' 2> /dev/null
import io, platform, sys
import av, numpy as np

print("python", platform.python_version(), "av", av.__version__, av.library_versions["libavcodec"])
noise = np.cumsum(np.random.default_rng(0).normal(size=48_000 * 5))
voice = noise - np.convolve(noise, np.ones(200) / 200, "same")
voice = (voice / np.abs(voice).max() / 2).astype(np.float32)[None]


def encoded(mode, bit_rate):
    made = io.BytesIO()
    with av.open(made, "w", format="ogg") as out:
        stream = out.add_stream("libopus", rate=48_000, options={"application": mode})
        stream.layout, stream.bit_rate = "mono", bit_rate
        frame = av.AudioFrame.from_ndarray(voice, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        convert = av.AudioResampler(stream.format, "mono", 48_000)
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            out.mux(stream.encode(part))
    return made.getvalue()


def decoded(data, decoder):
    with av.open(io.BytesIO(data)) as file:
        source = file.streams.audio[0]
        context = av.CodecContext.create(decoder, "r")
        context.extradata, context.sample_rate, context.layout = source.codec_context.extradata, 48_000, "mono"
        frames = [f for packet in file.demux(source) for f in context.decode(packet if packet.size else None)]
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
    return samples / 32_768 if samples.dtype == np.int16 else samples


def apart(data):
    one, two = decoded(data, "opus"), decoded(data, "libopus")
    assert len(one) == len(two)
    middle = two[10:-10]
    shifted = [one[10 + lag : len(one) - 10 + lag] - middle for lag in range(-8, 9)]
    return min(float(np.sqrt(np.square(rest).mean() / np.square(middle).mean())) for rest in shifted)


speech, music = apart(encoded("voip", 16_000)), apart(encoded("audio", 64_000))
print(f"expected under 0.01 for both; speech mode {speech:.3f}, music mode {music:.4f} of the rms, at the best shift")
sys.exit(not (speech > 0.15 and music < 0.01))
PYTHON
