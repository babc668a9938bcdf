"""Blocks from one pass of our own kernel over the spectrogram, and the samples themselves."""
