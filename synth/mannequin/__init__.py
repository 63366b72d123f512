"""Drawn humans with exact LIP parsing: the built-in source, free of rights, that needs no files and no network."""

from deocc_bench.synth.mannequin.draw import MannequinSource, draw

__all__ = ["MannequinSource", "draw"]
