"""Blocks by librosa's own functions, which is imported inside them."""
