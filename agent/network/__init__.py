"""What the PC knows of its network, and how it asks along the way: card, neighbours, pings, routers, names."""
