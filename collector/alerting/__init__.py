"""Decides who is told what, and when; sends nothing. Imports no I/O library."""
