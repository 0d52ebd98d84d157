"""What the interop, end-to-end and benchmark programs share. Standard library only."""
