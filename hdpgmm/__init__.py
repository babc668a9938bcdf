"""The Hierarchical Dirichlet Process Gaussian Mixture Model as pure functions on tensors. Needs torch and numpy alone.

Axis words: song, frame, dim (D), comp (K, corpus components), atom (T, components of one song).
"""
