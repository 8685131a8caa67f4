"""Scripts that make data and train the small checkpoints."""
