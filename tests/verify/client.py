"""A small client of the registry's API: connects to the address, asks for the name, and trusts only our CA."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.verify.backend import Unreachable
from tests.verify.deployment import Login

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFESTS = (
    MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


def trusting(ca: str) -> ssl.SSLContext:
    """Return a strict TLS context: only this CA (PEM), the name checked, RFC 5280 to the letter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=ca)
    return context


class Client:
    """Sends requests to the registry; `Unreachable` if they get no answer."""

    def __init__(self, address: str, hostname: str, port: int, ca: Path) -> None:
        self.where = f"https://{hostname}:{port} ({address})"
        self._hostname = hostname
        host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
        self._client = httpx.Client(
            base_url=f"https://{host}:{port}",
            headers={"Host": hostname if port == 443 else f"{hostname}:{port}"},
            verify=trusting(ca.read_text()),
            timeout=60,
            trust_env=False,  # no proxy, no .netrc
        )

    def close(self) -> None:
        """End all connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        login: Login | None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send one request, without credentials if `login` is None."""
        try:
            answer = self._client.request(
                method,
                path,
                auth=(login.name, login.password) if login else None,
                headers=dict(headers or {}),
                content=content,
                extensions={"sni_hostname": self._hostname},
            )
        except httpx.TransportError as error:
            if isinstance(cause := _origin(error), ssl.SSLCertVerificationError):
                problem = f"serves a certificate that is not valid ({cause.verify_message})"
            else:
                problem = f"does not answer ({error})"
            raise Unreachable(f"{self.where} {problem}; run make deploy") from None
        if answer.status_code >= 500:
            raise Unreachable(
                f"{self.where} answers {answer.status_code} ({answer.text.strip()[:200]}); run make deploy, and see "
                "docker logs homelab-registry on the registry host"
            )
        return answer

    def manifest(
        self, method: str, repository: str, reference: str, login: Login, **more: Any
    ) -> httpx.Response:
        """Send a request about a manifest, with the headers of the contract."""
        headers = {"Accept": MANIFEST} | ({"Content-Type": MANIFEST} if method == "PUT" else {})
        return self.request(method, f"/v2/{repository}/manifests/{reference}", login, headers, **more)

    def tags(self, repository: str, login: Login) -> list[str]:
        """Return a repository's tags; none if the registry does not know it."""
        answer = self.request("GET", f"/v2/{repository}/tags/list", login)
        if answer.status_code == 404:
            return []
        _expect(answer, 200, f"{login.name} cannot list the tags of {repository}")
        return list(answer.json()["tags"] or [])

    def digest(self, repository: str, tag: str, login: Login) -> str | None:
        """Return the digest that a tag names, of any media type, or None if there is no such tag."""
        answer = self.request(
            "HEAD", f"/v2/{repository}/manifests/{tag}", login, {"Accept": ", ".join(MANIFESTS)}
        )
        found: str | None = answer.headers.get("Docker-Content-Digest")
        return found

    def push_blob(self, repository: str, content: bytes, digest: str, login: Login) -> None:
        """Upload a blob in one piece."""
        begun = self.request("POST", f"/v2/{repository}/blobs/uploads/", login)
        _expect(begun, 202, f"{login.name} cannot begin an upload")
        to = begun.headers["Location"]
        to += f"{'&' if '?' in to else '?'}digest={quote(digest)}"
        headers = {"Content-Type": "application/octet-stream"}
        _expect(self.request("PUT", to, login, headers, content), 201, f"{login.name} cannot upload a layer")


def _origin(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def _expect(answer: httpx.Response, status: int, what: str) -> None:
    assert answer.status_code == status, (
        f"{what}: the answer is {answer.status_code} instead of {status} ({answer.text.strip()[:200]}); "
        "see docker logs homelab-registry on the registry host"
    )
