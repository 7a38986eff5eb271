"""Pages and figures for people and for monitoring: reads frozen snapshots, changes nothing."""
