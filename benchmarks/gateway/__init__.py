"""How fast the gateway is, against the registry without it and against static files."""
