"""Other people's formats: importers and exporters."""
