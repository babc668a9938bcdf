"""Extraction of features that a configuration mixes, by the real worker, into shards."""

from pathlib import Path

import librosa
import numpy as np

from features.audio.decode import decode
from features.spec import columns
from infra.root.songs import read_block, read_songs
from infra.storage.parquet import decode as decode_parquet
from infra.storage.store import Store
from jobs.extract.specification import specification, stored_specification
from jobs.extract.work import feature_tree
from jobs.extract.worker import child_command
from tests.features import signals
from tests.jobs.extract.standin import config_of, extract_inline

_FEATURES = ("rms", "mfcc", "spectral_contrast", "chroma", "chroma_cqt")


def test_mixed_features_lie_side_by_side_in_the_same_shards(tmp_path: Path):
    music, rate = tmp_path / "music", signals.RATE_HZ
    music.mkdir()
    for name, samples in (("chords", signals.chords(3.0)), ("noise", signals.noise(2.0))):
        (music / f"{name}.wav").write_bytes(signals.encode(samples, rate, "wav", "FLOAT"))
    asked = f"extract.features=[{', '.join(_FEATURES)}]"
    config = config_of(str(tmp_path / "root"), str(music), asked)
    spec, store = specification(config.extract), Store(config.root)
    snapshot = extract_inline(config, command=child_command(spec))
    stored = stored_specification(store, feature_tree(store, spec).prefix)
    assert (stored, stored.features) == (spec, _FEATURES)
    names = columns(stored)
    assert names[:2] == ["rms", "mfcc_00"]
    assert names[-1] == "chroma_cqt_B"
    for row in read_songs(store, snapshot).to_pylist():
        table = decode_parquet(store.read(row["path"]))
        assert table.schema.field("frames").type.value_type.list_size == len(names) == 1 + 13 + 7 + 12 + 12
        block = read_block(store, row["path"], row["row_group"], [row["row"]])
        y = decode((music / row["track_id"]).read_bytes(), row["track_id"], spec).samples
        theirs = {
            "rms": librosa.feature.rms(y=y),
            "mfcc": librosa.feature.mfcc(y=y, sr=rate, n_mfcc=13),
            "spectral_contrast": librosa.feature.spectral_contrast(y=y, sr=rate),
            "chroma": np.log(np.maximum(librosa.feature.chroma_stft(y=y, sr=rate), 1e-8)),
            "chroma_cqt": librosa.feature.chroma_cqt(y=y, sr=rate),
        }
        for name, values in theirs.items():
            np.testing.assert_allclose(block.values[:, stored.block(name)], values.T, atol=5e-4, err_msg=name)
