"""The parts of the line's step 7, one job each; `collector/pipeline.py` walks through them."""
