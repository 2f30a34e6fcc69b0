"""Settings of inventories/homelab.py; all.py beside this file lists every key."""

registry_hostname = "registry.homelab.local"

# A second name of the registry.
registry_extra_names = ["images.homelab.local"]

registry_accounts = {"admin": "admin", "ci": "push", "cluster": "pull"}
registry_pull_secret_namespaces = ["default", "apps"]

# registry_port = 5443                              # if 443 is in use
# registry_storage_path = "/mnt/tank/registry"      # on a larger disk
# registry_image_source = "pull"                    # upstream's images instead of Debian's packages
