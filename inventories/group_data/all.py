"""Every setting, its default and its meaning.

Change nothing here: put what is different for one inventory into the file of its name beside this one. A host's
own data (`("nas", {...})` in the inventory) and `--data KEY=VALUE` are stronger still. Plain literals only.
"""

# The name clients use.
registry_hostname = "registry.homelab.local"

# The port clients use.
registry_port = 443

# IP address of the registry host, also in its certificate; None: the one it has on its default route.
registry_address = None

# Keep an entry for the names in /etc/hosts of Docker hosts and cluster nodes.
registry_manage_hosts_file = True

# Further names or addresses clients use: in the certificate, and trusted like the first.
registry_extra_names = []

# State on the controller, below the project unless absolute; None: state/<inventory's file name>.
registry_state_dir = None

# "debian": images built on the registry host; "pull": the next two, resolved to a digest once and kept.
registry_image_source = "debian"

# The registry's image, for "pull".
registry_image = "docker.io/library/registry:3"

# The gateway's image, for "pull".
registry_gateway_image = "docker.io/library/nginx:stable"

# Images live here, on the registry host; never deleted by any run.
registry_storage_path = "/var/lib/homelab-registry"

# Accounts, name: role; "pull" reads, "push" writes as well, "admin" deletes as well.
registry_accounts = {"admin": "admin", "ci": "push", "cluster": "pull"}

# Whether anything may be deleted from the registry.
registry_delete_enabled = True

# How many requests of one address are served at once; more are told to come again.
registry_max_requests = 512

# How many wrong passwords of one address are answered in a second; more wait.
registry_max_guesses = 2

# The life of the registry's certificate, in days; at most 825.
registry_leaf_days = 397

# The life of the certificate authority, in days.
registry_ca_days = 3650

# How many days before its end the certificate is renewed; None: at a third of its life.
registry_renew_before_days = None

# Whose login the users and nodes that are logged in get.
registry_login_account = "cluster"

# Whose login is in the pull secrets.
registry_pull_secret_account = "cluster"

# The name of the pull secrets.
registry_pull_secret_name = "registry-credentials"

# Namespaces that get one, or ["*"] for all but kube-*.
registry_pull_secret_namespaces = ["default"]

# Service accounts there that get the secret added; [] for none.
registry_patch_service_accounts = ["default"]

# Path of kubectl's configuration on the cluster_control host; None: found.
registry_kubeconfig = None

# The context in it; None: the current one.
registry_kube_context = None

# How many days clients trust the old certificate authority beside the new one.
registry_ca_overlap_days = 30

# How many days an old password is good beside the new one.
registry_password_grace_days = 0

# The account whose password deploys/rotate_credentials.py changes; None: every account's.
registry_rotate_account = None

# Hosts that a rotation does not wait for, since they are gone for good.
registry_excused_hosts = []

# How often the timer of `make timer` runs deploy.py: "daily", "weekly" or "monthly".
registry_timer = "weekly"

# Program on the controller that is told, on its standard input, of a run of the timer that failed; None: none.
registry_timer_program = None

# Per host: a host's own data may say otherwise.

# System users on Docker hosts who are logged in.
registry_login_users = []

# List of k3s, rke2, containerd, crio, podman on a cluster node; None: detected.
registry_runtime = None

# Whether a node pulls with the login account, without pull secrets.
registry_node_login = False

# Also put the certificate authority into the system's trust store.
registry_system_trust = False
