"""Importers and exporters for other dataset formats."""
