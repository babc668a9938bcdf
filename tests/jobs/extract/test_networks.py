"""Frames of a network by the real worker, in shards: a user's own module on a few files."""

from pathlib import Path

import numpy as np
import pytest

from features.audio.decode import decode
from infra.errors import ConfigError
from infra.root.songs import read_block, read_quarantine, read_songs
from infra.storage.parquet import decode as decode_parquet
from infra.storage.store import Store
from jobs.extract.specification import specification, stored_specification
from jobs.extract.work import feature_tree, prepare
from jobs.extract.worker import child_command
from tests.features import signals
from tests.features.networks import tiny
from tests.jobs.extract.standin import config_of, extract_inline


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for name, samples in (("chords", signals.chords(3.0)), ("noise", signals.noise(2.0))):
        (folder / f"{name}.wav").write_bytes(signals.encode(samples, signals.RATE_HZ, "wav", "FLOAT"))
    (folder / "short.wav").write_bytes(signals.encode(signals.noise(0.1), signals.RATE_HZ, "wav", "FLOAT"))
    (folder / "text.wav").write_bytes(b"no audio at all")
    return folder


def test_frames_lie_as_16_bit_floats_and_bad_tracks_are_set_aside(music: Path, tmp_path: Path):
    path = f"extract.network.path={tiny.write(tmp_path / 'net')}"
    config = config_of(str(tmp_path / "root"), str(music), path)
    spec, store = specification(config.extract), Store(config.root)
    snapshot = extract_inline(config, command=child_command(spec))
    assert stored_specification(store, feature_tree(store, spec).prefix) == spec
    songs = read_songs(store, snapshot).to_pylist()
    assert [row["track_id"] for row in songs] == ["chords.wav", "noise.wav"]
    for row in songs:
        table = decode_parquet(store.read(row["path"]))
        assert str(table.schema.field("frames").type.value_type.value_type) == "halffloat"
        samples = decode((music / row["track_id"]).read_bytes(), row["track_id"], spec).samples
        block = read_block(store, row["path"], row["row_group"], [row["row"]])
        np.testing.assert_allclose(block.values, tiny.expected(samples), rtol=2**-11, atol=1e-3)
    bad = {row["track_id"]: row["reason"] for row in read_quarantine(store, snapshot).to_pylist()}
    assert bad == {"short.wav": "TOO_SHORT", "text.wav": "NOT_AUDIO"}
    assert not prepare(config).todo
    assert prepare(config_of(config.root, str(music), path, "extract.network.layer=large")).todo


def test_features_are_asked_for_in_one_way(tmp_path: Path):
    net = f"extract.network.path={tiny.write(tmp_path / 'net')}"
    config = config_of(str(tmp_path), str(tmp_path), net, "extract.features=[mfcc]")
    with pytest.raises(
        ConfigError, match=r"^extract\.network\.path and extract\.features: features are the one or"
    ):
        specification(config.extract)
    config = config_of(str(tmp_path), str(tmp_path), "extract.features=[network]")
    with pytest.raises(ConfigError, match=r"^extract\.features: 'network' needs network\.path"):
        specification(config.extract)
    config = config_of(str(tmp_path), str(tmp_path), net, "extract.network.layer=huge")
    with pytest.raises(
        ConfigError, match=r"^extract\.network\.layer: 'huge' is not known; known are small, large"
    ):
        specification(config.extract)
