"""Proof that a deployment works, run against the user's own hosts: `make verify INVENTORY=inventories/homelab.py`."""
