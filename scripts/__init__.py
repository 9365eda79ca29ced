"""What runs before the virtual environment exists: standard library only."""
