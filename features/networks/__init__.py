"""The registry of readers of networks: each file below that holds one is named in FILES. None of them imports torch."""

from importlib import import_module
from pathlib import Path

from features.networks.network import Choice, Network, Reader

FILES = ("musicnn.reader", "hubert.reader", "module")
READERS: dict[str, Reader] = {
    reader.name: reader for file in FILES for reader in [import_module(f"{__name__}.{file}").READER]
}


def find_network(choice: Choice) -> Network:
    """The network that lies at a path: its facts and digests. Nothing of it is run, no torch is imported.

    Raises ValueError, which begins with the field of the configuration, where there is none or the layer is not one.
    """
    if not Path(choice.path).exists():
        raise ValueError(f"network.path: {choice.path}: no such file or folder")
    for reader in READERS.values():
        if reader.recognises(Path(choice.path)):
            return reader.describe(choice)
    known = "; ".join(f"{reader.name}: {reader.looks_like}" for reader in READERS.values())
    raise ValueError(f"network.path: {choice.path}: no network that is known here ({known})")
