"""A user's own photo: from files to files."""
