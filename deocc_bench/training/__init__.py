"""Training runs, which combine synth, models and metrics."""
