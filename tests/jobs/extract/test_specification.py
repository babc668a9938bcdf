"""The configuration's names and the specification's are the same."""

from pathlib import Path
from typing import get_args

import pytest

from features.spec import PRESETS, FeatureSpec
from infra.config import ExtractConfig, load
from infra.errors import ConfigError
from infra.root.ledger import Tree
from infra.storage.store import Store
from jobs.extract.specification import require_frames, specification, stored_specification


def test_presets_are_those_of_the_configuration():
    assert get_args(ExtractConfig.model_fields["preset"].annotation) == tuple(PRESETS)
    for preset in PRESETS:
        config = load(None, (f"extract.preset={preset}",), root="x").extract
        assert specification(config) == PRESETS[preset]


def test_excerpts_are_taken_over():
    config = load(None, ("extract.excerpt=every", "extract.excerpt_seconds=10"), root="x").extract
    spec = specification(config)
    assert (spec.excerpt, spec.excerpt_seconds, spec.every_seconds) == ("every", 10.0, 60.0)


def test_features_replace_the_presets():
    config = load(None, ("extract.features=[mfcc, tonnetz, rms]", "extract.excerpt=first"), root="x").extract
    spec = specification(config)
    assert (spec.features, spec.excerpt) == (("mfcc", "tonnetz", "rms"), "first")
    assert require_frames(config) == spec
    same = load(None, ("extract.features=[mel]",), root="x").extract
    assert specification(same) == PRESETS["log-mel-128"]


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        (
            "[mfcc, loudness]",
            r"^extract\.features: 'loudness' is not known; known are mfcc, .*zero_crossing_rate",
        ),
        ("[rms, mfcc, rms]", r"^extract\.features: 'rms' is there twice$"),
        ("[]", r"^extract\.features must name at least one of mfcc, "),
        ("[mfcc, pcm]", r"^extract\.features: 'pcm' has frames of its own, others cannot be beside it$"),
    ],
)
def test_impossible_features_are_a_configuration_error_of_one_line(features: str, complaint: str):
    config = load(None, (f"extract.features={features}",), root="x").extract
    with pytest.raises(ConfigError, match=complaint) as caught:
        specification(config)
    assert "\n" not in str(caught.value)


def test_nonsense_is_a_configuration_error():
    config = load(None, ("extract.excerpt=every", "extract.every_seconds=20"), root="x").extract
    with pytest.raises(
        ConfigError, match=r"extract\.every_seconds must not be less than excerpt_seconds = 30, got 20"
    ):
        specification(config)


def test_waveforms_are_not_learned_from():
    config = load(None, ("extract.preset=pcm-22050",), root="x").extract
    with pytest.raises(ConfigError, match=r"extract\.preset: pcm-22050 holds waveforms"):
        require_frames(config)
    config = load(None, ("extract.features=[pcm]",), root="x").extract
    with pytest.raises(ConfigError, match=r"extract\.features: pcm holds waveforms"):
        require_frames(config)


@pytest.mark.parametrize(
    "spec", [*PRESETS.values(), FeatureSpec(features=("rms", "tonnetz"), excerpt="first")]
)
def test_a_tree_says_what_its_features_are(spec: FeatureSpec, tmp_path: Path):
    store = Store(str(tmp_path))
    Tree(store, "features/f").write_spec(spec.to_json())
    assert stored_specification(store, "features/f") == spec


def test_a_tree_of_blocks_that_are_not_known_here(tmp_path: Path):
    store = Store(str(tmp_path))
    Tree(store, "features/f").write_spec({**FeatureSpec().to_json(), "features": ["loudness"]})
    with pytest.raises(
        ConfigError, match=r"features of another version of this program .*'loudness' is not known"
    ):
        stored_specification(store, "features/f")
