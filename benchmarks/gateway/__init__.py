"""How fast the gateway is, compared with registries without it and with static files."""
