"""Who is it? Pure rules for identities and customers: no clock, no I/O, nothing of the router."""
