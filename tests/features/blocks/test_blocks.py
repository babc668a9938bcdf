"""The registry, and that blocks beside one another have the values that they have alone."""

import re

import numpy as np
import pytest

from features.blocks import BLOCKS
from features.blocks.block import Block, stft_grid
from features.parameters import Parameters
from features.spec import PRESETS, FeatureSpec, columns
from features.spectral.frames import frame_features
from tests.features import signals
from tests.places import REPOSITORY

_MIXABLE = tuple(name for name, block in BLOCKS.items() if block.grid is stft_grid)
_ELSEWHERE = ("network", "frames")  # whose columns depend on what a user brings: tests/features/networks


@pytest.mark.parametrize("features", [_MIXABLE, _MIXABLE[::-1]], ids=["in order", "reversed"])
def test_mixed_blocks_have_the_values_that_they_have_alone(features: tuple[str, ...]):
    samples, spec = signals.chords(2.0), FeatureSpec(features=features)
    together = frame_features(samples, spec)
    assert together.shape == (1 + len(samples) // 512, len(columns(spec)))
    for name in features:
        alone = frame_features(samples, FeatureSpec(features=(name,)))
        np.testing.assert_array_equal(together[:, spec.block(name)], alone, err_msg=name)


def test_a_block_is_found_by_its_name():
    spec = FeatureSpec(features=("rms", "chroma", "spectral_contrast", "mfcc"))
    names = columns(spec)
    assert (spec.block("rms"), spec.block("chroma")) == (slice(0, 1), slice(1, 13))
    assert names[spec.block("spectral_contrast")] == [f"spectral_contrast_{i:02d}" for i in range(7)]
    assert names[spec.block("mfcc")][0] == "mfcc_00"
    with pytest.raises(ValueError, match="no feature block 'mel' among rms, chroma, spectral_contrast, mfcc"):
        spec.block("mel")


@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in _ELSEWHERE])
def test_columns_are_of_one_block_and_fields_exist(name: str):
    own = columns(FeatureSpec(features=(name,)))
    others = {
        other
        for block in BLOCKS.values()
        if block.name not in (name, *_ELSEWHERE)
        for other in block.columns(Parameters())
    }
    assert own
    assert len(own) == len(set(own) - others)
    assert BLOCKS[name].fields <= set(Parameters.__dataclass_fields__)


def test_a_block_of_another_number_of_frames_is_refused(monkeypatch: pytest.MonkeyPatch):
    short = Block("short", "waveform", lambda track: np.zeros((1, 3)), lambda _: ["short"], frozenset())
    monkeypatch.setitem(BLOCKS, "short", short)
    with pytest.raises(ValueError, match=re.escape("short: (1, 3) values, expected (1, 87)")):
        frame_features(signals.noise(), FeatureSpec(features=("short",)))


def test_columns_are_counted_nowhere_by_hand():
    """Presets are orders of blocks; n_mfcc and n_chroma are for those who compute them."""
    allowed = {"features/parameters.py", "features/spectral/filters.py", "features/spectral/tuning.py"}
    for folder in ("features", "jobs", "infra", "evaluation", "hdpgmm"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            name = path.relative_to(REPOSITORY).as_posix()
            if name not in allowed and not name.startswith("features/blocks/"):
                assert not re.search(r"\bn_(mfcc|chroma)\b", path.read_text()), name


def test_the_presets_are_orders_of_blocks():
    assert PRESETS["paper-52"].features == ("mfcc", "mfcc_delta", "mfcc_delta2", "chroma", "onset_strength")
    assert (PRESETS["log-mel-128"].features, PRESETS["pcm-22050"].features) == (("mel",), ("pcm",))
