"""Principal components against scikit-learn's, and the file as the projection of a network."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from hdpgmm.data.whitening import moments
from infra.errors import ConfigError
from infra.root.songs import read_block, read_songs
from infra.storage.store import Store
from jobs.extract import pca
from jobs.extract.specification import specification
from jobs.extract.worker import child_command
from tests.features import signals
from tests.features.networks import tiny
from tests.jobs.extract.standin import config_of, extract_inline


def test_components_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 3.0
    mean, components, kept = pca.principal_components(moments(frames[:200]) + moments(frames[200:]), 3)
    theirs = PCA(3).fit(frames)
    np.testing.assert_allclose(mean, theirs.mean_, rtol=1e-5)
    np.testing.assert_allclose(np.abs((components * theirs.components_).sum(1)), 1.0, rtol=1e-5)
    assert kept == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-6)
    assert (components[range(3), np.abs(components).argmax(1)] > 0).all()


def test_frames_of_a_network_are_projected(tmp_path: Path):
    music = tmp_path / "music"
    music.mkdir()
    for number in range(3):
        samples = signals.noise(1.0 + number, seed=number)
        (music / f"{number}.wav").write_bytes(signals.encode(samples, signals.RATE_HZ, "wav", "FLOAT"))
    net, root, out = tiny.write(tmp_path / "net"), str(tmp_path / "root"), str(tmp_path / "pca.safetensors")
    settings = (f"extract.network.path={net}", "extract.network.storage=float32")
    config = config_of(root, str(music), *settings)
    whole = _values(config)
    assert pca.run(config, out, 1) == pytest.approx(1.0)  # its three columns are one, times numbers
    projected = _values(config_of(root, str(music), *settings, f"extract.network.pca={out}"))
    expected = PCA(1).fit(np.concatenate(whole))
    for frames, found in zip(whole, projected, strict=True):
        np.testing.assert_allclose(np.abs(found), np.abs(expected.transform(frames)), rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match=r"^--dimensions 4: frames have 3"):
        pca.run(config, out, 4)
    with pytest.raises(ConfigError, match=r"run jobs\.extract first"):
        pca.run(config_of(root, str(music)), out, 4)


def _values(config) -> list[np.ndarray]:
    snapshot, store = (
        extract_inline(config, command=child_command(specification(config.extract))),
        Store(config.root),
    )
    rows = read_songs(store, snapshot).to_pylist()
    return [read_block(store, row["path"], row["row_group"], [row["row"]]).values for row in rows]
