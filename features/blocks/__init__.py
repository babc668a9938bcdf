"""The registry of feature blocks: each file below that holds some is named in FILES, see docs/."""

from importlib import import_module

from features.blocks.block import Block

FILES = (
    "fused.mfcc",
    "fused.chroma",
    "fused.onset_strength",
    "fused.mel",
    "fused.spectral_contrast",
    "fused.pcm",
    "by_librosa.spectral_shape",
    "by_librosa.spectral_flatness",
    "by_librosa.pitch",
    "by_librosa.tempogram",
    "by_librosa.level",
    "network",
    "frames",
)
BLOCKS: dict[str, Block] = {
    block.name: block for file in FILES for block in import_module(f"{__name__}.{file}").BLOCKS
}
