"""What a method is: its contract, its names, loading it, calling it, checking its answers."""
