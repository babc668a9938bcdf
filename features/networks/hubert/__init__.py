"""HuBERT and the music networks built like it, MERT among them: from a local folder in the format of transformers."""
