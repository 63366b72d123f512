"""Training of both stages: losses, data, the loop, checkpoints. Torch; imports core and the networks alone."""
