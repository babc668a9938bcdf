"""musicnn (Pons and Serra 2019): a tagger of music whose weights its package ships, read and run without TensorFlow."""
