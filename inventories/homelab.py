"""An example of a homelab: copy it, put your hosts in, and run `make deploy INVENTORY=inventories/<yours>.py`.

This file has groups of hosts only; settings go into group_data/<this file's name>.py. A host is a name or an address
that SSH reaches, or `("name", {...})` with data of its own. A host may be in several groups; write its data once.
All groups except `registry` are optional.
"""

# The one host that serves the images.
registry = [
    ("nas", {"ssh_hostname": "192.0.2.10", "ssh_user": "admin", "registry_login_users": ["admin"]}),
]

# Hosts with Docker Engine that trust the registry.
docker_hosts = [
    "nas",
    ("builder", {"ssh_hostname": "192.0.2.11", "registry_login_users": {"deploy": "ci"}}),
]

# Nodes of a cluster, and other hosts that pull. The container runtime is detected unless it is set.
cluster_nodes = [
    ("k3s-1", {"ssh_hostname": "192.0.2.21", "registry_system_trust": True}),
    ("k3s-2", {"ssh_hostname": "192.0.2.22", "registry_runtime": ["k3s"]}),
    ("edge", {"ssh_hostname": "192.0.2.23", "registry_runtime": ["podman"], "registry_node_login": True}),
]

# The host with kubectl and administrator rights, for the pull secrets.
cluster_control = ["k3s-1"]
