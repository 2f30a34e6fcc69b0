"""Every setting, its default and its meaning.

Change nothing here: put what is different for one inventory into the file of its name beside this one. A host's own
data (`("nas", {...})` in the inventory) and `--data KEY=VALUE` override that. Plain Python literals only.
"""

# The name clients use.
registry_hostname = "registry.homelab.local"

# The port clients use. It is part of the image names unless it is 443.
registry_port = 443

# IP address of the registry host, also in its certificate. `None`: the source address of its default
# route, kept as long as the host has it, and never a tunnel's; give the host a fixed lease. A loopback
# address is refused: Docker checks no certificate there. One that the registry host does not have is warned of, and a
# client of the inventory has to reach the registry there.
registry_address = None

# Address of the registry host that the port is open on. `None`: all its IPv4 addresses, and all of IPv6 if
# `registry_address` or one of `registry_extra_names` is an IPv6 address.
registry_listen_address = None

# Keep an entry for the registry's names in `/etc/hosts` of Docker hosts and cluster nodes.
registry_manage_hosts_file = True

# Further names or addresses that clients use. They are in the certificate, and clients trust the
# registry under each.
registry_extra_names = []

# Folder of keys and passwords on the controller. If it is relative, then to the folder that `inventories/` is in;
# to the inventory's own folder, if that has another name. `None`: `state/<inventory's file name>`.
registry_state_dir = None

# `"debian"`: build the images on the registry host from Debian's packages. `"pull"`: pull
# `registry_image` and `registry_gateway_image`, resolve each to a digest once and keep it.
registry_image_source = "debian"

# The registry's image, for `"pull"`.
registry_image = "docker.io/library/registry:3"

# The gateway's image, for `"pull"`.
registry_gateway_image = "docker.io/library/nginx:stable"

# Folder of the images on the registry host. Only `make make-room` deletes there, and the timer if there is
# `registry_retention`.
registry_storage_path = "/var/lib/homelab-registry"

# How much that folder may take up on its disk, such as `"30GB"` or `"500GiB"`. At the limit new uploads are
# refused, and pulls, deletes and uploads under way go on. It is measured every 10 seconds. `None`: no limit, and
# nothing measures.
registry_storage_limit = None

# From how many percent of `registry_storage_limit` on each run, `make status` and `make verify` warn.
registry_storage_warn = 80

# Accounts as name: role. `pull` reads, `push` also writes, `admin` also deletes. `metrics` reads `/metrics` and
# nothing else, with `registry_metrics`.
registry_accounts = {"admin": "admin", "ci": "push", "cluster": "pull"}

# Whether the registry answers Prometheus at `/metrics`, to accounts of the role `metrics`. If you name none, the
# account `metrics` is added. What Prometheus and Grafana read is in `monitoring/` in the state.
registry_metrics = False

# Whether anything may be deleted from the registry.
registry_delete_enabled = True

# Whether the gateway has a web page at the registry's name, for people with an account. Without a login it shows
# only the CA.
registry_web = True

# Which tags `make make-room` and the timer delete: a list of rules, of which the first that matches a tag counts.
# With `{"repositories": "ci/*", "tags": "pr-*", "keep_last": 5, "keep_days": 14}` a tag goes if 5 of these in its
# repository are newer and it was pushed at least 14 days ago; `{"repositories": "apps/*", "keep": True}` keeps all.
# In a pattern `*` is any text, also with `/`, and `?` one character. `[]`: no tag is deleted.
registry_retention = []

# Keep what a container, a pod or a workload of any host of the inventory uses, whatever the rules say.
registry_keep_running = True

# After how many days without a tag `make make-room` deletes a manifest. `None`: never.
registry_untagged_days = 7

# How many days deleted images stay in a trash on the same disk.
registry_trash_days = 1

# How many minutes a blob that nothing refers to is left alone before it is deleted: a push may still need it.
registry_gc_grace_minutes = 60

# How many requests of one client address are served at once. Further requests get `429`. Clients behind a NAT or a
# proxy share one address.
registry_max_requests = 256

# How many wrong passwords of one client address are answered per second. Eight more wait, and further ones get
# `429`. For an account with a custom password, this many requests per second are checked, right or wrong, after a
# first eight at once; 64 wait.
registry_max_guesses = 2

# Lifetime of the registry's certificate in days, at most 825.
registry_leaf_days = 397

# Lifetime of the certificate authority in days.
registry_ca_days = 3650

# How many days before its end the certificate is renewed. `None`: a third of its lifetime. It is renewed
# only if the new one would last longer.
registry_renew_before_days = None

# The account that users and nodes are logged in with.
registry_login_account = "cluster"

# The account in the pull secrets. Use one that only pulls.
registry_pull_secret_account = "cluster"

# Name of the pull secrets.
registry_pull_secret_name = "registry-credentials"

# Namespaces that get a pull secret. `["*"]`: all but `kube-*`, new ones at the next run. A namespace
# that is taken out loses its secret.
registry_pull_secret_namespaces = ["default"]

# Service accounts in these namespaces that the secret is added to. `[]`: none.
registry_patch_service_accounts = ["default"]

# Path of kubectl's configuration on the `cluster_control` host. `None`: the first one found.
registry_kubeconfig = None

# Context in kubectl's configuration. `None`: the current one.
registry_kube_context = None

# How many days clients trust the old certificate authority beside the new one after a CA rollover.
registry_ca_overlap_days = 30

# How many days an old password stays valid beside the new one.
registry_password_grace_days = 0

# The account whose password `make rotate-passwords` changes. `None`: all. For one run:
# `make rotate-passwords ACCOUNT=ci`.
registry_rotate_account = None

# Hosts that a rotation does not wait for because they are gone for good. For one run:
# `make deploy DATA=registry_excused_hosts=nas,attic`.
registry_excused_hosts = []

# Today's date, if a run asks for it because the controller's clock is behind what is in the state. For one
# run: `make deploy DATA=registry_today=2026-03-01`.
registry_today = None

# How often the timer of `make timer` runs `deploy.py`: `"daily"`, `"weekly"` or `"monthly"`.
registry_timer = "weekly"

# Path of a program on the controller that gets, on standard input, what a failed run of the timer
# printed under "Not finished". It keeps its own secrets. `None`: no program.
registry_timer_program = None

# Folder of the registry host, on another disk than the images, that keeps backups. `None`: no such folder.
registry_backup_folder = None

# Path of a program on the registry host that backs up the folder that it gets as its argument, as root. It keeps
# its own secrets, and its own backups. `None`: no program.
registry_backup_program = None

# Which backups hosts in `backup_hosts` and `registry_backup_folder` keep: the last one of so many days, weeks and
# months that have one.
registry_backup_keep = {"daily": 7, "weekly": 4}

# After how many days without a good backup `make verify` fails.
registry_backup_days = 8

# Path of a file on the controller with public keys, as `age -R` reads them (of age, or of SSH): `state/` and the
# inventory go into backups, encrypted for these. `None`: they are in no backup.
registry_backup_recipients = None

# Registries in the internet that the registry host keeps a pull-through cache of, such as `["docker.io",
# "ghcr.io"]`: every host of the inventory then pulls their images through it. One that has no name of its own here is
# `{"name": "registry.example.com", "registry": "https://registry.example.com"}`. `[]`: no cache.
registry_caches = []

# How much the caches may take up together. The images that were used least recently go first.
registry_cache_limit = "20GB"

# How much stays free on the disk of the caches, whatever the limit says.
registry_cache_keep_free = "5GB"

# Folder of the caches on the registry host.
registry_cache_path = "/var/lib/homelab-registry-cache"

# The name of the caches, under which runtimes ask them. `None`: `mirror` in the domain of `registry_hostname`.
registry_cache_name = None

# After how many seconds a cache asks again what a tag means.
registry_cache_tag_seconds = 60

# The networks whose clients may read from the caches, without a login.
registry_cache_networks = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
    "fe80::/10",
]

# Accounts that lift the limit of a registry in the internet: `{"docker.io": "me"}`, with the access token in
# `upstream/docker.io` in the state. What the public may not read stays unread.
registry_cache_accounts = {}

# The image that `deploys/cache_clear.py` removes from the caches: `make cache-clear IMAGE=...`. `None`: all.
registry_cache_clear = None

# The backup that `deploys/restore.py` puts back: `make restore FROM=...`.
registry_restore = None

# The one repository that it puts back. `None`: all.
registry_restore_repository = None

# Whether it also puts back tags that were pushed again since the backup.
registry_restore_older = False

# Whether `deploys/repair.py` hashes every blob, and not only those that may be manifests: `make repair DEEP=1`.
registry_repair_deep = False

# Per host: a host's own data may set these differently.

# System users on Docker hosts who are logged in: a list of them, with `registry_login_account`; or
# `{"deploy": "ci"}`, each with an account of their own, so that builders can push.
registry_login_users = {}

# Container runtimes of a cluster node: a list of `k3s`, `rke2`, `containerd`, `crio`, `podman`, `docker`.
# `None`: detected.
registry_runtime = None

# Whether a node pulls with the login account, without pull secrets. Every pod on the node can use images
# pulled this way (KEP-2535).
registry_node_login = False

# Also add the certificate authority to the system's trust store.
registry_system_trust = False

# Whether the runtimes of this host pull through the caches, if there are any (`registry_caches`).
registry_use_caches = True

# Folder of a host in `backup_hosts` that keeps backups.
registry_backup_host_folder = "/var/lib/homelab-registry-backup"
