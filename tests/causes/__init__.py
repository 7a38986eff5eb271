"""Silences of which the cause is known, and what is made of them."""
