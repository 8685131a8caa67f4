"""Training of the mini Llama of lesson 06, and of a LoRA adapter for it."""
