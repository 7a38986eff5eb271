"""What the two programs promise each other: names, readings, batches, acks, plans, and the disk queue.

Imports nothing of ours and does no I/O but disk.
"""
