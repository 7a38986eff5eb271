"""Step 12 of the line: letters wait durably, leave, and what became of them is written down."""
