"""The feature specification that a configuration asks for."""

from dataclasses import replace

from features.spec import PRESETS, FeatureSpec
from infra.config import ExtractConfig
from infra.errors import ConfigError

EXCERPTS = ("excerpt", "excerpt_seconds", "every_seconds")


def specification(config: ExtractConfig) -> FeatureSpec:
    """The preset with the excerpts asked for. Raises ConfigError where they make no sense."""
    try:
        return replace(PRESETS[config.preset], **{name: getattr(config, name) for name in EXCERPTS})
    except ValueError as error:
        raise ConfigError(f"extract.{error}") from None


def require_frames(config: ExtractConfig) -> FeatureSpec:
    """The same, for a job that learns from frames. Raises ConfigError where there are none but samples."""
    spec = specification(config)
    if spec.kind == "pcm":
        raise ConfigError(
            f"extract.preset: {config.preset} holds waveforms, a model is learned from frame features"
        )
    return spec
