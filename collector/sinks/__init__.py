"""Where time series go: fed from the journal by cursor, each in its own thread."""
