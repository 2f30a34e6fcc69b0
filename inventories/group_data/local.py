"""Settings of inventories/local.py; all.py beside this file lists every key."""

# registry_port = 5443                # where something else has 443
# registry_login_users = ["root"]     # users of this machine who are logged in
