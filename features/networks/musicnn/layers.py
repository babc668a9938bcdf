"""musicnn's layers in torch: Pons and Serra, "musicnn: pre-trained convolutional neural networks", ISMIR 2019, LBD.

By the names and the order of its own `models.py`: a front end of two timbral and three temporal convolutions over a
log-mel spectrogram, a middle of three with residual connections, a back end of pooling over time and two dense layers.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_EPSILON = 1e-3  # of TensorFlow's batch normalization
_TIMBRAL, _TEMPORAL, _MIDDLE = (0, 1), (2, 3, 4), (5, 6, 7)  # numbers of the convolutions

Values = Mapping[str, torch.Tensor]


class Musicnn:
    """The network with the weights of a bundle, {"conv2d/kernel": ...}, as TensorFlow lays them out."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], device: str = "cpu") -> None:
        self._weights = {
            name: torch.from_numpy(np.array(value)).to(device) for name, value in weights.items()
        }
        kernels = [name for name in self._weights if name.endswith("kernel") and name.startswith("conv2d")]
        for name in kernels:  # (height, width, in, out)
            self._weights[name] = self._weights[name].permute(3, 2, 0, 1).contiguous()

    def __call__(self, mel: torch.Tensor) -> Values:
        """Log-mel patches (patch, frame, 96) -> layers by name.

        timbral, temporal, cnn1, cnn2, cnn3 and midend, all of them side by side: (patch, frame, dim); max_pool,
        mean_pool, penultimate, taggram: (patch, dim).
        """
        x = self._normalized(mel[:, None], 0)
        timbral = [self._front(functional.pad(x, (0, 0, 3, 3)), number) for number in _TIMBRAL]
        temporal = [self._temporal(x, number) for number in _TEMPORAL]
        front = torch.cat([*timbral, *temporal], 1)  # (patch, channel, frame)
        cnn1 = self._middle(front, _MIDDLE[0])
        cnn2 = self._middle(cnn1, _MIDDLE[1]) + cnn1
        cnn3 = self._middle(cnn2, _MIDDLE[2]) + cnn2
        midend = torch.cat([front, cnn1, cnn2, cnn3], 1)
        over_time = {
            "timbral": torch.cat(timbral, 1),
            "temporal": torch.cat(temporal, 1),
            "cnn1": cnn1,
            "cnn2": cnn2,
            "cnn3": cnn3,
            "midend": midend,
        }
        return {**{name: value.transpose(1, 2) for name, value in over_time.items()}, **self._back(midend)}

    def _back(self, midend: torch.Tensor) -> Values:
        most, mean = midend.amax(2), midend.mean(2)
        both = self._normalized(torch.stack([most, mean], 2).flatten(1), 9)
        penultimate = self._normalized(torch.relu(self._dense(both, "dense")), 10)
        tags = torch.sigmoid(self._dense(penultimate, "dense_1"))
        return {"max_pool": most, "mean_pool": mean, "penultimate": penultimate, "taggram": tags}

    def _front(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """(patch, 1, frame, mel) -> (patch, channel, frame): what is loudest over the mel bands."""
        return self._normalized(torch.relu(self._convolved(x, number)), number + 1).amax(3)

    def _temporal(self, x: torch.Tensor, number: int) -> torch.Tensor:
        length = self._weights[_numbered("conv2d", number) + "/kernel"].shape[2]
        before = (length - 1) // 2  # TensorFlow's padding "same" has the odd one behind
        return self._front(functional.pad(x, (0, 0, before, length - 1 - before)), number)

    def _middle(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """(patch, channel, frame) -> (patch, 64, frame)."""
        image = functional.pad(x.transpose(1, 2)[:, None], (0, 0, 3, 3))
        return self._normalized(torch.relu(self._convolved(image, number)), number + 1)[..., 0]

    def _convolved(self, x: torch.Tensor, number: int) -> torch.Tensor:
        name = _numbered("conv2d", number)
        return functional.conv2d(x, self._weights[f"{name}/kernel"], self._weights[f"{name}/bias"])

    def _dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ self._weights[f"{name}/kernel"] + self._weights[f"{name}/bias"]

    def _normalized(self, x: torch.Tensor, number: int) -> torch.Tensor:
        name = _numbered("batch_normalization", number)
        mean, variance, gamma, beta = (
            self._weights[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=_EPSILON)


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
