"""An example of a homelab: copy it, put your hosts in, and run `make deploy INVENTORY=inventories/<yours>.py`.

Only groups of hosts stand here; settings go into group_data/<this file's name>.py. A host is a name or an address
that SSH reaches; with data of its own it is `("name", {...})`. A host may be in several groups, and its data is
written once. All groups but `registry` may be left out.
"""

# The one host that serves the images.
registry = [
    ("nas", {"ssh_hostname": "192.0.2.10", "ssh_user": "admin", "registry_login_users": ["admin"]}),
]

# Hosts with Docker Engine, which trust the registry.
docker_hosts = [
    "nas",
    ("builder", {"ssh_hostname": "192.0.2.11", "registry_login_users": ["ci"]}),
]

# Nodes of a cluster, and others that pull: the runtime is found out, or given.
cluster_nodes = [
    ("k3s-1", {"ssh_hostname": "192.0.2.21", "registry_system_trust": True}),
    ("k3s-2", {"ssh_hostname": "192.0.2.22", "registry_runtime": ["k3s"]}),
    ("edge", {"ssh_hostname": "192.0.2.23", "registry_runtime": ["podman"], "registry_node_login": True}),
]

# The host with kubectl and an administrator's rights, for the pull secrets.
cluster_control = ["k3s-1"]
