"""musicnn's port against the original: its own models.py in TensorFlow 2.21 (tf_keras), 2026-11-30, in golden numbers.

They were made from `_signal()` by librosa's melspectrogram (16 kHz, 512, 256, 96 bands) rounded to float16, then
log10(1 + 10,000 m) in float32 (numpy 1's result; numpy 2 computes it in float16, where it overflows to infinity), cut
into two patches of 187 frames.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from features.networks import READERS, find_network
from features.networks.musicnn.layers import Musicnn
from features.networks.musicnn.spectrum import in_patches, log_mel
from features.networks.musicnn.tensorflow_bundle import read_bundle
from features.networks.network import Choice
from tests.features.networks.musicnn_wheel import musicnn_wheel

# layer, patch (and frame), values at the start, a third and the end, largest value of the layer over both patches
_GOLDEN = (
    (
        "MTT_musicnn/taggram",
        (1,),
        (0.17010337114334106, 0.0012872237712144852, 3.5532659239834175e-05),
        0.3693,
    ),
    (
        "MTT_musicnn/penultimate",
        (1,),
        (-0.07995161414146423, -0.09672394394874573, 0.11208686232566833),
        3.452,
    ),
    ("MTT_musicnn/mean_pool", (0,), (-0.0002554853563196957, 2.891282320022583, -0.12329466640949249), 10.53),
    ("MTT_musicnn/max_pool", (0,), (-0.0001341250172117725, 19.537839889526367, 5.267020225524902), 75.79),
    ("MTT_musicnn/temporal", (1, 93), (0.4056936204433441, -0.001068916404619813, -1.497748613357544), 52.36),
    ("MTT_musicnn/cnn1", (1, 93), (0.0014193184906616807, -0.20036476850509644, -0.4697454273700714), 18.31),
    ("MTT_musicnn/cnn2", (0, 186), (-0.043020401149988174, -1.1185030937194824, 0.670168399810791), 30.8),
    ("MTT_musicnn/cnn3", (1, 0), (-0.4689089357852936, -1.5533943176269531, -1.4253212213516235), 42.15),
    (
        "MSD_musicnn/taggram",
        (1,),
        (0.0006362507701851428, 0.000872221658937633, 0.0002258470340166241),
        0.6809,
    ),
    (
        "MSD_musicnn/penultimate",
        (1,),
        (-0.1771755814552307, -0.2081773579120636, -0.29342514276504517),
        5.326,
    ),
    ("MSD_musicnn/max_pool", (0,), (2.258329914184287e-06, 2.058105110336328e-06, 11.102231979370117), 131.2),
    ("MSD_musicnn/cnn1", (1, 93), (0.018067704513669014, 0.013641394674777985, 0.5549038648605347), 8.18),
    ("MSD_musicnn/cnn2", (0, 186), (0.45527592301368713, 0.6005954146385193, 0.06762990355491638), 74.57),
    ("MSD_musicnn/cnn3", (1, 0), (-1.896445870399475, -0.2081667184829712, -3.229719638824463), 131.2),
)


def _signal() -> np.ndarray:
    """A chord of three sines and bursts of noise, 6.5 s at 16 kHz."""
    time = np.arange(104000) / 16000
    rng = np.random.default_rng(0)
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (220.0, 277.18, 329.63))
    beat = (np.modf(time * 2)[0] < 0.1) * rng.standard_normal(len(time))
    return (0.1 * chord + 0.3 * beat).astype(np.float32)


def _frames(layer: str) -> np.ndarray:
    network = find_network(Choice(str(musicnn_wheel()), layer))
    return READERS["musicnn"].load(network)(_signal())


@pytest.mark.parametrize(("layer", "place", "values", "largest"), _GOLDEN)
def test_every_layer_is_the_originals(
    layer: str, place: tuple[int, ...], values: tuple[float, ...], largest: float
):
    found = _frames(layer)
    row = place[0] if len(place) == 1 else 187 * place[0] + place[1]
    width = found.shape[1]
    np.testing.assert_allclose(found[row, [0, width // 3, width - 1]], values, rtol=0, atol=1e-5 * largest)


def test_the_middle_is_all_layers_over_time_side_by_side():
    parts = [_frames(f"MTT_musicnn/{name}") for name in ("timbral", "temporal", "cnn1", "cnn2", "cnn3")]
    whole = _frames("MTT_musicnn/midend")
    assert whole.shape == (1 + 104000 // 256, 753)
    np.testing.assert_array_equal(whole, np.concatenate(parts, 1))


def test_what_is_left_after_the_last_patch_is_a_shorter_one():
    whole, rest = in_patches(np.zeros((407, 96), np.float32))
    assert (whole.shape, rest.shape) == ((2, 187, 96), (1, 33, 96))
    assert _frames("MTT_musicnn/taggram").shape == (3, 50)
    (short,) = in_patches(np.zeros((63, 96), np.float32))
    assert short.shape == (1, 63, 96)


def test_the_spectrum_is_librosas_of_today():
    mel = librosa.feature.melspectrogram(y=_signal(), sr=16000, n_fft=512, hop_length=256, n_mels=96).T
    expected = np.log10(1 + 1e4 * mel.astype(np.float16).astype(np.float64))
    # A unit in the last place of float16 is 2^-10 of the value, 4.3e-4 of its logarithm: where roundings differ.
    np.testing.assert_allclose(log_mel(_signal()), expected, atol=4.5e-4)


def test_the_wheel_and_its_folder_are_the_same_network(tmp_path: Path):
    with zipfile.ZipFile(musicnn_wheel()) as wheel:
        wheel.extractall(tmp_path)
    by_wheel = find_network(Choice(str(musicnn_wheel())))
    assert find_network(Choice(str(tmp_path))) == find_network(Choice(str(tmp_path / "musicnn"))) == by_wheel
    data = tmp_path / "musicnn/MTT_musicnn/.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert find_network(Choice(str(tmp_path))).weights != by_wheel.weights


def test_a_damaged_bundle_is_refused():
    with zipfile.ZipFile(musicnn_wheel()) as wheel:
        index, data = (
            wheel.read(f"musicnn/MTT_musicnn/{name}") for name in (".index", ".data-00000-of-00001")
        )
    tensors = read_bundle(index, data)
    trained = [value for name, value in tensors.items() if name.count("/") == 1 and "Adam" not in name]
    assert sum(value.size for value in trained) == 792_079
    assert tensors["conv2d_5/kernel"].shape == (7, 561, 1, 64)
    with pytest.raises(ValueError, match=f"whose data, {len(data) // 2} bytes, ends before byte"):
        read_bundle(index, data[: len(data) // 2])
    with pytest.raises(ValueError, match="its index does not end as one"):
        read_bundle(index[:-1], data)
    with pytest.raises(ValueError, match="TensorFlow bundle"):
        read_bundle(index[:100] + b"\xff" * 2000 + index[2100:], data)


def test_layers_that_are_not_known_are_named():
    with pytest.raises(
        ValueError, match=r"^network\.layer: 'last' is not known; known are MTT_musicnn/midend, "
    ):
        find_network(Choice(str(musicnn_wheel()), "last"))


def test_planning_imports_no_torch():
    code = (
        "import sys; from features.networks import find_network; from features.networks.network import Choice; "
        "from features.spec import FeatureSpec, fingerprint; "
        f"n = find_network(Choice({str(musicnn_wheel())!r})); "
        "fingerprint(FeatureSpec(features=('network',), sample_rate=16000, network=n)); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_gradient_is_kept_and_inputs_stay_as_they_are():
    with zipfile.ZipFile(musicnn_wheel()) as wheel:
        files = (wheel.read(f"musicnn/MSD_musicnn/{name}") for name in (".index", ".data-00000-of-00001"))
        net = Musicnn(read_bundle(*files))
    mel = torch.rand(1, 20, 96)
    before = mel.clone()
    assert not net(mel)["taggram"].requires_grad
    assert torch.equal(mel, before)
