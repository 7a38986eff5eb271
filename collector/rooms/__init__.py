"""Which rooms there are, where, who answers for them, and which agents stand in them."""
