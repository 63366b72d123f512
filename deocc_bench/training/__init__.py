"""Training runs: joins synth, models and metrics."""
