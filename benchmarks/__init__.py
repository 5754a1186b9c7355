"""What ClawBench costs, as ratios measured in one run: ``scripts/bench``."""
