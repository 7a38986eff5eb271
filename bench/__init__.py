"""Benchmarks: what we cost beside others who do the same, measured side by side in one run, told as ratios."""
