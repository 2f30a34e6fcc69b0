"""Shapes that public guides, installers and bug reports have, as examples beside those that are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import example

NAME, CA = "registry.example:5443", "/etc/rancher/k3s/ca.crt"

CRI = 'plugins."io.containerd.grpc.v1.cri"'

CONTAINERD = {
    "kubeadm, indented": (
        f'version = 2\n\n[plugins]\n\n  [{CRI}]\n    sandbox_image = "pause:3.9"\n\n    [{CRI}.containerd]\n'
        f'      default_runtime_name = "runc"\n\n    [{CRI}.registry]\n      config_path = ""\n\n'
        f'      [{CRI}.registry.headers]\n        X = []\n\n[debug]\n  level = "info"\n'
    ),
    "without an end of its last line": f'version = 2\n\n[{CRI}.registry]\n  config_path = ""\n\n[debug]\n  level = "info"',
    "with a byte order mark": '\ufeffversion = 2\n\n[debug]\n  level = "info"\n',
    "from Windows": f'version = 2\r\n[{CRI}]\r\n  sandbox_image = "x"\r\n[{CRI}.registry]\r\n',
    "an installer's, flat": (
        f'version = 2\n[{CRI}]\n  enable_selinux = false\n[{CRI}.containerd.runtimes."crun"]\n'
        f'  runtime_type = "io.containerd.runc.v2"\n[{CRI}.registry]\n  config_path = "/a:/b"\n'
        f'# gVisor\n[{CRI}.containerd.runtimes.runsc]\n  runtime_type = "io.containerd.runsc.v1"\n'
    ),
    "commented out": f'#version = 2\nversion = 2\n#[{CRI}.registry]\n#  config_path = "/x"\n',
    "by dotted keys": f'version = 2\n{CRI}.registry.config_path = "/a:/b"\n{CRI}.sandbox_image = "x"\n',
    "inline": f"version = 2\n[{CRI}]\nregistry = {{ config_path = '' }}\n",
    "tabs": f'version = 2\n\n[{CRI}]\n\tsandbox_image = "x"\t# pause\n\t[{CRI}.registry]\n\t\tconfig_path = ""\t# none\n',
}

REGISTRIES_YAML = {
    "a cache, with a tab before a comment": 'mirrors:\t# the cache\n  docker.io:\n    endpoint: ["https://cache.example"]\n',
    "a tab before a value": "configs:\n  cache.example:\n    tls:\n      ca_file:\t/etc/ssl/cache.pem\n",
    "the guide's": (
        'mirrors:\n  docker.io:\n    endpoint:\n      - "https://mirror.example:5000"\n    rewrite:\n'
        '      "^rancher/(.*)": "cache/rancher/$1"\nconfigs:\n  "mirror.example:5000":\n    auth:\n      username: x # user\n'
        "      password: y # password\n    tls:\n      cert_file: /x.crt\n      key_file: /x.key\n      ca_file: /x-ca.crt\n"
    ),
    "all mirrors": 'mirrors:\n  "*":\n',
    "from Windows": 'mirrors:\r\n  docker.io:\r\n    endpoint:\r\n      - "https://x.example"\r\n',
    "only comments": "# mirrors:\n#   docker.io:\n",
    "nothing": "",
    "empty sections": "mirrors: {}\nconfigs: {}\nauths: {}\n",
    "an anchor for all": (
        "x-tls: &tls\n  cert_file: /x.crt\nconfigs:\n  a.example:\n    tls: *tls\n  b.example:\n    tls:\n      <<: *tls\n"
    ),
    "JSON": '{"mirrors": {"docker.io": {"endpoint": ["https://x.example"]}}}\n',
    "two documents": "mirrors: {}\n---\nconfigs: {}\n",
    "keys twice": "mirrors:\n  a: {}\nmirrors:\n  b: {}\nconfigs:\n  c: {}\nconfigs:\n",
    "our entry, of a sort": f"configs:\n  {NAME}:\n    tls:\n      insecure_skip_verify: no\n      ca_file: # {CA}\n",
}

CONFIG_JSON = {
    "Docker's own": '{\n\t"auths": {\n\t\t"https://index.docker.io/v1/": {\n\t\t\t"auth": "eDp5"\n\t\t}\n\t}\n}',
    "Docker Desktop's": '{"auths":{},"credsStore":"desktop","currentContext":"desktop-linux"}\n',
    "in another case": '{\n  "Auths": {},\n  "credsstore": "pass"\n}\n',
    "gcloud's": '{\n  "credHelpers": {\n    "gcr.io": "gcloud",\n    "eu.gcr.io": "gcloud"\n  }\n}',
    "a tutorial's": '{\n    "credHelpers": {},\n    "credsStore": ""\n}\n',
    "keys twice": f'{{"auths": {{"a": {{"auth": "eDp5"}}}}, "AUTHS": {{"{NAME}": {{"Auth": "eDp5", "identitytoken": "t"}}}}}}',
    "nothing": "",
}


def examples(shapes: Mapping[str, str]) -> Callable[[Any], Any]:
    """Return the decorator that tries a property with each of these texts as well."""

    def decorate(test: Any) -> Any:
        for text in shapes.values():
            test = example(text=text)(test)
        return test

    return decorate
