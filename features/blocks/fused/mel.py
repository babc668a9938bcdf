"""mel: the mel bands in decibels, `librosa.power_to_db(librosa.feature.melspectrogram(y))`."""

from features.blocks.block import MEL, Block, numbered

BLOCKS = (Block("mel", "mel", lambda mel: mel.db, lambda p: numbered("mel", p.n_mels, digits=3), MEL),)
