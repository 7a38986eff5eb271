"""What the agent costs the school's line: counted, limited by the day, and never beside a lesson."""
