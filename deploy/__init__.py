"""What an operator installs: units, service hosts, broker configuration."""
