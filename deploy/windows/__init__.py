"""The agent as a Windows service."""
