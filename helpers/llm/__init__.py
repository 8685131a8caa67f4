"""Language models on their way to an engine: out of a multimodal checkpoint, merged, saved, converted, read back."""
