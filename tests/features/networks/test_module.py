"""A user's module: described without being run, run where it is named, never from a record."""

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from features.errors import BadTrack
from features.networks import find_network
from features.networks.network import Choice, Network
from features.networks.run import network_frames, pooled
from features.networks.weights import load_weights
from features.spec import FeatureSpec, columns, fingerprint
from features.spectral.frames import frame_features
from tests.features import signals
from tests.features.networks import tiny


def _spec(folder: Path, **more) -> FeatureSpec:
    network = find_network(Choice(str(folder), **more))
    return FeatureSpec(features=("network",), sample_rate=network.sample_rate, network=network)


def test_frames_are_the_modules(tmp_path: Path):
    spec, samples = _spec(tiny.write(tmp_path)), signals.noise(1.0, 8000)
    found = frame_features(samples, spec)
    assert (found.dtype, found.shape) == (np.float16, (15, 3))
    np.testing.assert_allclose(found, tiny.expected(samples), rtol=2**-11, atol=1e-3)
    assert columns(spec) == ["network_0000", "network_0001", "network_0002"]
    assert (spec.frames_per_second, spec.is_waveform) == (16.0, False)


def test_pooling_and_projection(tmp_path: Path):
    samples = signals.noise(1.0, 8000)
    mean, components = np.float32([0.1, 0.2, 0.3]), np.float32([[1, 0, 2], [0, 3, 0]])
    save_file({"mean": mean, "components": components}, tmp_path / "pca.safetensors")
    spec = _spec(
        tiny.write(tmp_path / "net"), pool_frames=4, pca=str(tmp_path / "pca.safetensors"), storage="float32"
    )
    frames = tiny.expected(samples)
    means = np.stack([frames[start : start + 4].mean(0) for start in (0, 4, 8, 12)])
    np.testing.assert_allclose(frame_features(samples, spec), (means - mean) @ components.T, atol=1e-4)
    assert (columns(spec), spec.dtype) == (["pca_0000", "pca_0001"], np.float32)
    assert spec.n_frames(8000) == 4
    np.testing.assert_array_equal(pooled(frames[:3], 4), frames[:3].mean(0, keepdims=True))


def test_planning_does_not_run_it(tmp_path: Path):
    (tiny.write(tmp_path) / "net.py").write_text("raise SystemExit('it was run')")
    before = fingerprint(_spec(tmp_path))
    with pytest.raises(SystemExit):
        frame_features(signals.noise(1.0, 8000), _spec(tmp_path))
    (tmp_path / "helper.py").write_text("# other code")
    assert fingerprint(_spec(tmp_path)) != before


@pytest.mark.parametrize("name", ["code", "weights", "layer", "hop_samples", "pool_frames", "pca", "storage"])
def test_what_bears_on_values_is_in_the_fingerprint(name: str, tmp_path: Path):
    spec = _spec(tiny.write(tmp_path))
    assert spec.network is not None
    value = getattr(spec.network, name)
    other = "float32" if name == "storage" else value + 1 if isinstance(value, int) else value + "x"
    assert fingerprint(replace(spec, network=replace(spec.network, **{name: other}))) != fingerprint(spec)


def test_a_record_says_what_it_is_and_never_runs(tmp_path: Path):
    spec = _spec(tiny.write(tmp_path))
    stored = json.loads(json.dumps(spec.to_json()))
    assert str(tmp_path) not in json.dumps(stored)
    read = FeatureSpec.from_json(stored)
    assert read == spec
    assert read.to_json() == stored
    assert read.network is not None
    assert read.network.path == ""
    with pytest.raises(ValueError, match=r"network\.path: a record does not say where its network lies"):
        frame_features(signals.noise(1.0, 8000), read)
    stored["network"]["path"] = "/tmp/evil"  # somebody wrote it into the root's record
    with pytest.raises(ValueError, match=r"network\.path: a record does not say where"):
        frame_features(signals.noise(1.0, 8000), FeatureSpec.from_json(stored))


def test_another_network_at_the_path_is_refused(tmp_path: Path):
    network = _spec(tiny.write(tmp_path)).network
    assert network is not None
    (tmp_path / "helper.py").write_text("# other code")
    with pytest.raises(ValueError, match=rf"network\.path: {tmp_path} has code \w+, the features are of \w+"):
        network_frames(signals.noise(1.0, 8000), network)


def test_values_beyond_16_bits_are_a_bad_track(tmp_path: Path):
    spec = _spec(tiny.write(tmp_path))
    loud = np.full(8000, 100.0, np.float32)
    with pytest.raises(BadTrack, match="gives values that float16 cannot hold") as caught:
        frame_features(loud, spec)
    assert caught.value.reason == "NON_FINITE"
    assert np.isfinite(frame_features(loud, _spec(tmp_path, storage="float32"))).all()


def test_a_module_of_other_frames_than_it_promised(tmp_path: Path):
    folder = tiny.write(tmp_path)
    manifest = json.loads((folder / "network.json").read_text())
    manifest["layers"]["small"]["hop_samples"] = 400
    (folder / "network.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"network\.layer 'small': \(15, 3\) values, expected \(18, 3\)"):
        frame_features(signals.noise(1.0, 8000), _spec(folder))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("{", "no JSON"),
        ('{"module": "net.py"}', "weights must be there, as in"),
        (json.dumps({**tiny.MANIFEST, "weights": "gone.pt"}), r"weights: gone\.pt: no such file"),
        (
            json.dumps({**tiny.MANIFEST, "layers": {"a": {"hop_samples": 1}}}),
            "n_features must be a number from 1",
        ),
    ],
)
def test_a_manifest_that_says_too_little(text: str, rule: str, tmp_path: Path):
    (tiny.write(tmp_path) / "network.json").write_text(text)
    with pytest.raises(ValueError, match=rule):
        find_network(Choice(str(tmp_path)))


class _Evil:
    def __reduce__(self):
        return sys.exit, ("run",)


def test_weights_are_tensors_alone(tmp_path: Path):
    for number, thing in enumerate([{"a": _Evil()}, _Evil()]):
        path = tmp_path / f"{number}.pt"
        torch.save(thing, path)
        with pytest.raises(ValueError, match="no weights alone"):
            load_weights(path)
    (tmp_path / "2.pt").write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(ValueError, match=r"^network\.path: .*2\.pt"):
        load_weights(tmp_path / "2.pt")
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "3.ckpt")
    assert torch.equal(load_weights(tmp_path / "3.ckpt")["a"], torch.ones(2))
    (tmp_path / "4.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"^network\.path: .*4\.safetensors"):
        load_weights(tmp_path / "4.safetensors")


def test_a_path_of_nothing_known(tmp_path: Path):
    with pytest.raises(ValueError, match=r"network\.path: .*: no network that is known here \(musicnn: "):
        find_network(Choice(str(tmp_path)))
    with pytest.raises(ValueError, match=r"network\.path: /no/such: no such file or folder"):
        find_network(Choice("/no/such"))


def test_a_projection_of_another_width(tmp_path: Path):
    save_file(
        {"mean": np.zeros(4, np.float32), "components": np.zeros((2, 4), np.float32)},
        tmp_path / "p.safetensors",
    )
    with pytest.raises(ValueError, match=r"network\.pca: .* of 4 features, the layer has 3"):
        find_network(Choice(str(tiny.write(tmp_path / "net")), pca=str(tmp_path / "p.safetensors")))


def test_a_network_needs_its_own_rate(tmp_path: Path):
    network: Network = find_network(Choice(str(tiny.write(tmp_path))))
    with pytest.raises(ValueError, match="sample_rate must be the network's, 8000, got 22050"):
        FeatureSpec(features=("network",), network=network)
    with pytest.raises(ValueError, match=r"'network' needs network\.path"):
        FeatureSpec(features=("network",))
