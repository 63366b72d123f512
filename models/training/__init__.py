"""Training of both stages: losses, data, training loop, checkpoints. Imports torch, core and the networks only."""
