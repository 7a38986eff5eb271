"""The whole system on one PC with embedded defaults: a real collector, a real agent, and simulated rooms."""
