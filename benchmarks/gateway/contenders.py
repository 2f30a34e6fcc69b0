"""The deployed registry, and the contenders it is compared with: containers on its host, from its own images."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from tasks.registry.containers import NETWORK, OPEN_FILES, STORAGE, UID
from tests.bench import programs
from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.fleet.deployment import Deployment
from tests.fleet.source import PULLED, start_source
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway

ACCOUNT = ACCOUNTS["push"]
STOCK_COST = 10
"""The default cost of Go's bcrypt and of most tools; Apache's `htpasswd -B` uses 5 by default."""

PORTS = {"gateway": 443, "stock": 5001, "bare": 5002, "bare_tls": 5003, "static": 5004}
CONTENDERS_FOLDER = "/root/contenders"
TLS_FOLDER = "/etc/homelab-registry/gateway/tls"
STORAGE_FOLDER = "/var/lib/homelab-registry"
BARE_STORAGE_FOLDER = "/var/lib/bare-registry"

QUIET_LOG = """\
log: {level: warn, accesslog: {disabled: true}}
"""
REGISTRY_CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {storage}}}, cache: {{blobdescriptor: inmemory}}}}
http: {{addr: ":5000"{tls}}}
auth: {{htpasswd: {{realm: bench, path: /etc/contender/htpasswd}}}}
"""
TLS_CONFIG = ", tls: {certificate: /etc/tls/tls.pem, key: /etc/tls/tls.pem}"

STATIC_CONFIG = f"""\
daemon off;
worker_processes auto;
pid /tmp/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    sendfile on;
    tcp_nopush on;
    output_buffers 4 256k;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256;
    ssl_prefer_server_ciphers on;
    server {{
        listen 5000 ssl http2;
        ssl_certificate /etc/tls/tls.pem;
        ssl_certificate_key /etc/tls/tls.pem;
        root {STORAGE}/docker/registry/v2/blobs/sha256;
    }}
}}
"""


@dataclass(frozen=True)
class Contenders:
    """A deployed gateway, and its contenders on the same host and in the same network.

    `stock` is a registry with TLS and password hashes of bcrypt's default cost; `bare` and `bare_tls` are registries
    with the same hashes as the gateway's; `static` is nginx with the blobs as static files. All use the gateway's
    storage, except `bare_tls`, which is pushed to.
    """

    gateway: Gateway

    @property
    def host(self) -> BenchHost:
        return self.gateway.host

    @property
    def authorization(self) -> str:
        """The authorization header that all contenders accept."""
        return f"Authorization: {self.gateway.authorization('push')}"

    @classmethod
    def start(cls, folder: Path) -> Contenders:
        """Boot a host, deploy the registry (Debian's 2.8), and start the contenders and install the load generators."""
        host = BenchHost.start(BOOKWORM_DOCKER, "gateway")
        try:
            host.wait_until("docker info", 60, "Docker Engine")
            target = f"@docker/{host.name}"
            deployment = Deployment(folder, f"registry = [{target!r}]\ndocker_hosts = [{target!r}]\n")
            contenders = cls(Gateway(host, deployment, "2.8"))
            contenders._deploy()
            host.run(
                "apt-get update -q && apt-get install -q -y --no-install-recommends curl wrk nghttp2-client",
                environment={"DEBIAN_FRONTEND": "noninteractive"},
            )
            host.give(programs.CRANE)
            contenders._log_in()
            contenders._start_others()
        except BaseException:
            host.remove()
            raise
        return contenders

    def upgrade(self) -> None:
        """Replace distribution 2.8 by 3.1.2, which is pulled; the stored images stay."""
        start_source(self.host)
        self.gateway.source = PULLED
        self._deploy()
        self._start_others()

    def url(self, name: str) -> str:
        """Return the URL of a contender."""
        return f"{'http' if name == 'bare' else 'https'}://{NAME}:{PORTS[name]}"

    def reference(self, name: str, image: str) -> str:
        """Return the reference of an image on a contender."""
        return f"{NAME}:{PORTS[name]}/{image}" if name != "gateway" else f"{NAME}/{image}"

    def crane(self, command: str) -> None:
        """Run crane on the host, logged in to the gateway and to `bare_tls`."""
        self.host.run(self.with_crane(command))

    def with_crane(self, command: str) -> str:
        """Return the shell command that runs crane."""
        return f"DOCKER_CONFIG={CONTENDERS_FOLDER} SSL_CERT_FILE=/etc/docker/certs.d/{NAME}/ca.crt crane {command}"

    def _deploy(self) -> None:
        # A high limit: the benchmark measures how long refusals of wrong passwords take.
        self.gateway.deploy(registry_max_guesses=1000)

    def _log_in(self) -> None:
        auth = {"auth": self.gateway.authorization("push").removeprefix("Basic ")}
        auths = {self.reference(name, "").rstrip("/"): auth for name in ("gateway", "bare_tls")}
        self.host.write(f"{CONTENDERS_FOLDER}/config.json", json.dumps({"auths": auths}), "0600")

    def _start_others(self) -> None:
        (registry, nginx) = (
            self.host.run(f"docker inspect -f '{{{{.Config.Image}}}}' {name}").stdout.strip()
            for name in ("homelab-registry", "homelab-registry-gateway")
        )
        hashes = self.host.read("/etc/homelab-registry/registry/htpasswd")
        password = self.gateway.password("push").encode()
        stock = f"{ACCOUNT}:{bcrypt.hashpw(password, bcrypt.gensalt(STOCK_COST)).decode()}\n"
        self.host.run(f"mkdir -p {BARE_STORAGE_FOLDER}")
        serve = "registry serve /etc/contender/config"
        start = self._start
        start("stock", registry, serve, REGISTRY_CONFIG.format(storage=STORAGE, tls=TLS_CONFIG), stock)
        start("bare", registry, serve, QUIET_LOG + REGISTRY_CONFIG.format(storage=STORAGE, tls=""), hashes)
        own = QUIET_LOG + REGISTRY_CONFIG.format(storage=STORAGE, tls=TLS_CONFIG)
        start("bare_tls", registry, serve, own, hashes, BARE_STORAGE_FOLDER)
        start("static", nginx, "nginx -c /etc/contender/config", STATIC_CONFIG)
        for name in PORTS:
            self.host.wait_until(f"curl -sk -o /dev/null {self.url(name)}/v2/", 30, name)

    def _start(
        self,
        name: str,
        image: str,
        command: str,
        config: str,
        htpasswd: str = "",
        storage: str = STORAGE_FOLDER,
    ) -> None:
        """Start a contender with the container options of our own two, but with its own configuration and mounts."""
        folder = f"{CONTENDERS_FOLDER}/{name}"
        self.host.write(f"{folder}/config", config)
        self.host.write(f"{folder}/htpasswd", htpasswd)
        program, arguments = command.split(" ", 1)
        self.host.run(
            f"chown -R {UID}:{UID} {folder} {BARE_STORAGE_FOLDER}; docker rm -f {name} >/dev/null 2>&1; docker run -d "
            f"--name {name} --network {NETWORK} --user {UID}:{UID} --read-only --cap-drop ALL --tmpfs /tmp "
            f"--security-opt no-new-privileges --ulimit nofile={OPEN_FILES}:{OPEN_FILES} -p {PORTS[name]}:5000 "
            f"--log-opt max-size=10m --env OTEL_TRACES_EXPORTER=none -v {folder}:/etc/contender:ro "
            f"-v {TLS_FOLDER}:/etc/tls:ro -v {storage}:{STORAGE} --entrypoint {program} {image} {arguments}"
        )
