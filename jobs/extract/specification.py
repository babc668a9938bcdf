"""The feature specification that a configuration asks for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from features.networks import find_network
from features.networks.network import Choice, Network
from features.spec import PRESETS, FeatureSpec
from infra.config import ExtractConfig, NetworkConfig
from infra.errors import ConfigError
from infra.root import layout
from infra.root.ledger import Tree
from infra.storage.store import Store
from jobs.extract.own_frames import own_frames

NETWORK, FRAMES = "network", "frames"  # the blocks
EXCERPTS = ("excerpt", "excerpt_seconds", "every_seconds")


def specification(config: ExtractConfig, device: Literal["cpu", "cuda"] = "cpu") -> FeatureSpec:
    """The preset, or the features asked for in its place, with the excerpts.

    `device`: where a network is computed. Raises ConfigError where they make no sense.
    """
    asked = {name: getattr(config, name) for name in EXCERPTS}
    _refuse_two(config)
    try:
        if config.frames.path:
            asked |= {"features": (FRAMES,), "frames": own_frames(config.frames)}
        elif config.network.path:
            network = _network(config.network, device)
            asked |= {"features": (NETWORK,), "network": network, "sample_rate": network.sample_rate}
        elif config.features is not None:
            asked["features"] = config.features
        return replace(PRESETS[config.preset], **asked)
    except ValueError as error:
        raise ConfigError(f"extract.{error}") from None


def _refuse_two(config: ExtractConfig) -> None:
    """Raises ConfigError where features are asked for in two ways."""
    asked = {
        "extract.network.path": config.network.path,
        "extract.frames.path": config.frames.path,
        "extract.features": set(config.features or ()) - {NETWORK, FRAMES},
    }
    if len(both := [name for name, value in asked.items() if value]) > 1:
        raise ConfigError(f"{' and '.join(both)}: features are the one or the other, leave one out")


def _network(config: NetworkConfig, device: Literal["cpu", "cuda"]) -> Network:
    """The network that the configuration names. Raises ValueError where it cannot be."""
    return find_network(
        Choice(config.path or "", config.layer, config.pool_frames, config.pca or "", config.storage, device)
    )


def stored_specification(store: Store, tree: str) -> FeatureSpec:
    """What the features in a tree were made from, whatever the configuration says now.

    Raises ConfigError where they say what this program does not know.
    """
    try:
        return FeatureSpec.from_json(Tree(store, tree).read_spec())
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{store.uri(layout.spec(tree))}: features of another version of this program ({error}); "
            "run python -m jobs.extract again"
        ) from None


def require_frames(config: ExtractConfig) -> FeatureSpec:
    """The same, for a job that learns from frames. Raises ConfigError where there are none but samples."""
    spec = specification(config)
    if spec.is_waveform:
        asked = f"preset: {config.preset}" if config.features is None else f"features: {spec.features[0]}"
        raise ConfigError(f"extract.{asked} holds waveforms, a model is learned from frame features")
    return spec


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """What two specifications (`FeatureSpec.to_json`) say otherwise, as text: "hop_length 512 and 256".

    Where the blocks are others, their parameters, which only one of them has, go without saying.
    """
    one, other = dict(_flat(theirs)), dict(_flat(ours))
    names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    if blocks := [name for name in names if name in ("kind", "features")]:
        names = blocks + [name for name in names if name in one and name in other and name not in blocks]
    return ", ".join(f"{name} {_said(one.get(name))} and {_said(other.get(name))}" for name in names)


def _flat(spec: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in spec.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(str, value))}]"
    return "nothing" if value is None else str(value)
