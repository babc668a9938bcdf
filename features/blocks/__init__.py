"""The registry of feature blocks: each file here that holds some is named in FILES (docs/adding-a-feature-block.md)."""

from importlib import import_module

from features.blocks.block import Block

FILES = (
    "mfcc",
    "chroma",
    "onset_strength",
    "mel",
    "pcm",
    "spectral_contrast",
    "spectral_shape",
    "spectral_flatness",
    "pitch",
    "tempogram",
    "level",
)
BLOCKS: dict[str, Block] = {
    block.name: block for file in FILES for block in import_module(f"{__name__}.{file}").BLOCKS
}
