"""Settings of inventories/local.py; all.py beside this file lists every key."""

# registry_port = 5443                # if 443 is in use
# registry_login_users = ["root"]     # users of this machine who are logged in
