"""What identity computes rather than stores: password hashes, and tokens as sealed bytes."""
