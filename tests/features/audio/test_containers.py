"""Structures of corrupted files: whatever the bytes, a structure comes back, and no error."""

import numpy as np
import pytest

from features.audio.containers import READERS, content, sniff, structure
from tests.bench.resilience.fuzz import ODD, corrupt
from tests.features import signals

_MONO, _WIDE = signals.chords(0.6, 22050), signals.stereo(signals.chords(0.6, 48000), 48000)
_OWN = ("wav", "flac", "ogg", "mp3", "aiff", "au", "w64", "caf", "RF64")
_SOUNDS = {
    **{kind: signals.encode(_MONO, 22050, kind) for kind in _OWN},
    **{kind: signals.encode_foreign(kind, _WIDE) for kind in ("m4a, aac", "wma", "webm, opus", "ogg, flac")},
}


@pytest.mark.parametrize("name", _SOUNDS)
def test_corrupted_files_have_a_structure(name):
    rng = np.random.default_rng([7, *name.encode()])
    others = [*ODD, *(sound[:64] for sound in _SOUNDS.values())]
    for attempt in range(1500):
        data = corrupt(_SOUNDS[name], rng, others) + _SOUNDS[name] * (attempt % 5 == 0)
        for kind in {sniff(data), sorted(READERS)[attempt % len(READERS)]}:
            found = structure(content(data, kind), kind)
            assert found.seconds is None or found.seconds >= 0.0
