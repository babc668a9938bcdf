"""The specification and its fingerprint."""

import dataclasses

import pytest

from features import spec as spec_module
from features.spec import PRESETS, FeatureSpec, columns, fingerprint

_SPEC = PRESETS["paper-52"]
_CHOICES = {"features", "excerpt", "excerpt_seconds", "every_seconds"}
_FIELDS = [field.name for field in dataclasses.fields(FeatureSpec) if field.name not in _CHOICES]


def _other(value):
    """A different value that the rules still allow: odd stays odd, orders of magnitude stay."""
    return value + "!" if isinstance(value, str) else value * 3 or 1.0


def _changed(name):
    if name in ("hop_length", "n_fft"):
        return dataclasses.replace(_SPEC, **{name: getattr(_SPEC, name) // 2})
    return dataclasses.replace(_SPEC, **{name: _other(getattr(_SPEC, name))})


@pytest.mark.parametrize("name", _FIELDS)
def test_every_field_changes_the_fingerprint(name):
    assert fingerprint(_changed(name)) != fingerprint(_SPEC)


def test_fields_that_do_not_bear_on_the_values_do_not_change_it():
    for name in ("excerpt_seconds", "every_seconds"):
        assert fingerprint(dataclasses.replace(_SPEC, **{name: 45.0})) == fingerprint(_SPEC)
    pcm = PRESETS["pcm-22050"]
    assert fingerprint(dataclasses.replace(pcm, n_mels=64)) == fingerprint(pcm)
    assert fingerprint(dataclasses.replace(pcm, sample_rate=16000)) != fingerprint(pcm)


def test_every_choice_has_a_fingerprint_of_its_own():
    parts = [{}, *({"excerpt": part} for part in ("first", "middle", "every"))]
    parts += [{"excerpt": "first", "excerpt_seconds": 10.0}, {"excerpt": "every", "every_seconds": 90.0}]
    found = {fingerprint(dataclasses.replace(spec, **part)) for spec in PRESETS.values() for part in parts}
    assert len(found) == len(PRESETS) * len(parts)


@pytest.mark.parametrize("library", ["libsndfile", "libsoxr", "numpy", "scipy", "soundfile", "soxr"])
def test_every_library_version_changes_the_fingerprint(library, monkeypatch):
    before = fingerprint(_SPEC)
    versions = spec_module.library_versions()
    assert library in versions
    versions[library] = "0.0"
    monkeypatch.setattr(spec_module, "library_versions", lambda more: versions)
    assert fingerprint(_SPEC) != before


def test_fingerprint_is_stable_and_short():
    assert fingerprint(_SPEC) == fingerprint(FeatureSpec())
    assert len(fingerprint(_SPEC)) == 16
    assert set(fingerprint(_SPEC)) <= set("0123456789abcdef")


def test_columns_of_the_paper():
    names = columns(_SPEC)
    assert len(names) == len(set(names)) == _SPEC.n_features == 52
    assert [names[i] for i in (0, 12, 13, 26, 39, 50, 51)] == [
        "mfcc_00",
        "mfcc_12",
        "delta_00",
        "delta2_00",
        "log_chroma_C",
        "log_chroma_B",
        "log_onset",
    ]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"sample_rate": 0}, "sample_rate must be at least 1, got 0"),
        ({"hop_length": 4096}, "hop_length must not exceed n_fft = 2048, got 4096"),
        ({"n_mfcc": 129}, "n_mfcc must not exceed n_mels = 128, got 129"),
        ({"features": ()}, "features must name at least one of mfcc, "),
        (
            {"features": ("mfcc", "loudness")},
            "features: 'loudness' is not known; known are mfcc, mfcc_delta, ",
        ),
        ({"features": ("mfcc", "rms", "mfcc")}, "features: 'mfcc' is there twice"),
        ({"features": ("mfcc", "pcm")}, "features: 'pcm' has a frame a sample, others cannot be beside it"),
        ({"excerpt": "last"}, "excerpt must be one of whole, first, middle, every, got 'last'"),
        ({"excerpt_seconds": 0.5}, "excerpt_seconds must be at least 1, got 0.5"),
        ({"every_seconds": 9.0}, "every_seconds must not be less than excerpt_seconds = 30, got 9"),
        ({"delta_width": 8}, "delta_width must be odd and at least 3, got 8"),
        ({"top_db": -1.0}, "top_db must not be negative, got -1.0"),
    ],
)
def test_nonsense_is_refused(changes, rule):
    with pytest.raises(ValueError, match=rule):
        FeatureSpec(**changes)
