"""musicnn from its package, the wheel or a folder: log-mel patches of 3 s, and the layers of features.networks.musicnn.

    pip download musicnn==0.1.0 --no-deps        # ISC; --set extract.network.path=musicnn-0.1.0-py3-none-any.whl

A layer is MODEL/NAME, of the models that were trained on MagnaTagATune (MTT_musicnn) or on the Million Song Dataset
(MSD_musicnn). The original drops what is left of a track after its last whole patch; here it is a shorter patch.
"""

import hashlib
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from features.networks.network import Choice, Floats, Frames, Network, described, digest, joined, known_layer

MODELS = ("MTT_musicnn", "MSD_musicnn")
RATE, HOP, PATCH_FRAMES = 16000, 256, 187  # Hz, samples, frames
_OVER_TIME = {"midend": 753, "timbral": 408, "temporal": 153, "cnn1": 64, "cnn2": 64, "cnn3": 64}
_A_PATCH = {"max_pool": 753, "mean_pool": 753, "penultimate": 200, "taggram": 50}
_FILES = (".index", ".data-00000-of-00001")
_CODE = "features.networks.musicnn, revision 1"  # raised by hand when a change of ours changes values


class _Musicnn:
    name = "musicnn"
    looks_like = "musicnn's wheel, or the folder of its package"

    def recognises(self, path: Path) -> bool:
        return any(_found(path, model) is not None for model in MODELS)

    def describe(self, choice: Choice) -> Network:
        there = [model for model in MODELS if _found(Path(choice.path), model) is not None]
        names = {f"{model}/{layer}": layer for model in there for layer in (*_OVER_TIME, *_A_PATCH)}
        layer = known_layer(choice.layer, names, f"{there[0]}/midend")
        name, over_time = names[layer], names[layer] in _OVER_TIME
        return described(
            choice,
            reader=self.name,
            layer=layer,
            code=hashlib.sha256(_CODE.encode()).hexdigest(),
            weights=_digest(choice.path, layer.partition("/")[0]),
            sample_rate=RATE,
            n_features=(_OVER_TIME | _A_PATCH)[name],
            hop_samples=HOP if over_time else HOP * PATCH_FRAMES,
        )

    def load(self, network: Network) -> Frames:
        import torch

        from features.networks.musicnn.layers import Musicnn
        from features.networks.musicnn.spectrum import in_patches, log_mel
        from features.networks.musicnn.tensorflow_bundle import read_bundle

        model, _, name = network.layer.partition("/")
        net = Musicnn(read_bundle(*_bundle(Path(network.path), model)), network.device)

        def frames(samples: Floats) -> Floats:
            found = []
            with torch.inference_mode():
                for patches in in_patches(log_mel(samples)):
                    layer = net(torch.from_numpy(patches).to(network.device))[name]
                    found.append(layer.flatten(0, -2).cpu().numpy())
            return np.concatenate(found)

        return frames


def _found(path: Path, model: str) -> tuple[str, ...] | None:
    """Names of the files of a model in a wheel or folder."""
    for folder in (f"musicnn/{model}/", f"{model}/"):
        names = tuple(folder + name for name in _FILES)
        if path.is_dir():
            there = all((path / name).is_file() for name in names)
        else:
            there = zipfile.is_zipfile(path) and set(names) <= set(zipfile.ZipFile(path).namelist())
        if there:
            return names
    return None


def _bundle(path: Path, model: str) -> list[bytes]:
    names = _found(path, model)
    if names is None:
        raise ValueError(f"network.path: {path}: {model} is not there")
    if path.is_dir():
        return [(path / name).read_bytes() for name in names]
    with zipfile.ZipFile(path) as wheel:
        return [wheel.read(name) for name in names]


def _digest(path: str, model: str) -> str:
    """Of what the files hold, so that the wheel and its folder are the same network."""
    if Path(path).is_dir():
        return digest(*(Path(path) / name for name in _found(Path(path), model) or ()))
    status = Path(path).stat()
    return _digest_of_wheel(path, model, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _digest_of_wheel(path: str, model: str, _modified: int, _size: int) -> str:
    return joined(hashlib.sha256(data).hexdigest() for data in _bundle(Path(path), model))


READER = _Musicnn()
