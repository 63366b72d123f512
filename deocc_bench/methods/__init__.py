"""Methods: their contract and names, and code that loads them, calls them and checks their outputs."""
