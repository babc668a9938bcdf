"""The specification and its fingerprint."""

import dataclasses
import json
from importlib.metadata import version

import pytest

from features import spec as spec_module
from features.blocks import BLOCKS
from features.spec import PRESETS, FeatureSpec, columns, fingerprint

_SPEC = PRESETS["paper-52"]
_CHOICES = {"network", "frames", "features", "excerpt", "excerpt_seconds", "every_seconds"}
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


def test_librosas_version_counts_where_a_block_is_librosas(monkeypatch):
    assert "librosa" not in _SPEC.to_json()["libraries"]
    mixed = FeatureSpec(features=("mfcc", "tonnetz"))
    assert mixed.to_json()["libraries"]["librosa"] == version("librosa")
    before = {spec: fingerprint(spec) for spec in (_SPEC, mixed)}
    monkeypatch.setattr(spec_module, "version", lambda name: "9" if name == "librosa" else version(name))
    assert fingerprint(_SPEC) == before[_SPEC]
    assert fingerprint(mixed) != before[mixed]


def test_blocks_their_order_and_their_parameters_change_the_fingerprint(monkeypatch):
    specs = [
        FeatureSpec(features=names) for names in (("mfcc", "tempogram"), ("tempogram", "mfcc"), ("mfcc",))
    ]
    found = [fingerprint(spec) for spec in specs]
    assert len(set(found)) == 3
    other = dataclasses.replace(BLOCKS["tempogram"], parameters={"win_length": 100})
    monkeypatch.setitem(BLOCKS, "tempogram", other)
    assert [fingerprint(spec) == old for spec, old in zip(specs, found, strict=True)] == [False, False, True]


def test_fields_of_blocks_that_are_not_there_do_not_count():
    spec = FeatureSpec(features=("rms",))
    assert fingerprint(dataclasses.replace(spec, n_mfcc=20, top_db=60.0)) == fingerprint(spec)
    assert fingerprint(dataclasses.replace(spec, hop_length=256)) != fingerprint(spec)


@pytest.mark.parametrize(
    "spec",
    [
        *PRESETS.values(),
        FeatureSpec(features=("rms", "mel"), n_mels=64, excerpt="every", every_seconds=90.0),
        FeatureSpec(features=("mel",), n_mels=64),
        FeatureSpec(revision=3),
    ],
)
def test_what_is_stored_is_read_back(spec):
    stored = json.loads(json.dumps(spec.to_json()))
    assert FeatureSpec.from_json(stored) == spec
    assert FeatureSpec.from_json(stored).to_json() == stored


def test_what_this_program_does_not_know_is_not_read():
    stored = FeatureSpec(features=("rms", "tempogram")).to_json()
    for change, rule in (
        (
            {"block_parameters": {"tempogram": {"win_length": 96}}},
            "'win_length': 96.* are .*'win_length': 384.* here",
        ),
        ({"features": ["rms", "loudness"]}, "'loudness' is not known"),
        ({"kind": "x"}, "kind 'x'"),
    ):
        with pytest.raises(ValueError, match=rule):
            FeatureSpec.from_json({**stored, **change})


def test_presets_keep_the_way_in_which_trees_say_them():
    """Trees older than named blocks are found by the digest of exactly these fields."""
    paper, mel, pcm = (PRESETS[name].to_json() for name in ("paper-52", "log-mel-128", "pcm-22050"))
    assert not {"kind", "features", "block_parameters"} & set(paper)
    assert len(paper) == 23 + 2
    assert (mel["kind"], pcm["kind"]) == ("log-mel", "pcm")
    assert set(pcm) - {"kind", "fixed", "libraries"} == {
        *("sample_rate", "resample_quality", "silence_peak", "overflow_peak", "max_seconds", "revision")
    }
    assert set(mel) - set(pcm) == {
        *("n_fft", "hop_length", "window", "n_mels", "mel_fmin_hz", "mel_fmax_hz", "power_floor", "top_db")
    }


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
        ({"features": ("mfcc", "pcm")}, "features: 'pcm' has frames of its own, others cannot be beside it"),
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
