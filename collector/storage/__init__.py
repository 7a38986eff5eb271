"""What lies on the centre's disk or in its database: the journal, incidents and outages, and copies of it all."""
