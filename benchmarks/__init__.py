"""What trainhooks costs, beside the loop written by hand and the peers that are installed: ``python -m benchmarks``."""
