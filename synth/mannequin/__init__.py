"""Drawn humans with exact LIP parsing: the embedded, licence-free source that needs no file and no network."""

from deocc_bench.synth.mannequin.draw import MannequinSource, draw

__all__ = ["MannequinSource", "draw"]
