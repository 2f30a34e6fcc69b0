// What to do on a machine that is not in the inventory, so that it trusts the registry. It needs no login.

import { copyable, fill, h, heading, lines, notice } from "./view.js";

const CA = "/web/ca.crt";

/** Return the SHA-256 fingerprint of each certificate in a PEM text. */
async function fingerprints(pem) {
  const found = [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END/g)];
  return Promise.all(found.map(async ([, text]) => {
    const der = Uint8Array.from(atob(text.replace(/\s/g, "")), (each) => each.charCodeAt(0));
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", der));
    return [...hash].map((each) => each.toString(16).padStart(2, "0").toUpperCase()).join(":");
  }));
}

/** Return the steps for each system; `host` is the registry's name with its port, `name` without. */
function systems(host, name) {
  const folder = host.replace(":", "_");
  return [
    ["Docker on Linux", "No restart is needed.", [
      ["put the CA in place", `sudo install -Dm644 ca.crt /etc/docker/certs.d/${host}/ca.crt`],
      ["log in", `docker login ${host}`],
    ]],
    ["Podman, Skopeo, Buildah", "", [
      ["put the CA in place", `sudo install -Dm644 ca.crt /etc/containers/certs.d/${host}/ca.crt`],
      ["log in", `podman login ${host}`],
    ]],
    ["containerd", "containerd reads this folder if config_path in its configuration names /etc/containerd/certs.d.", [
      ["put the CA in place", `sudo install -Dm644 ca.crt /etc/containerd/certs.d/${host}/ca.crt`],
      ["name it there", `printf 'server = "https://${host}"\\n[host."https://${host}"]\\n  ca = "ca.crt"\\n' | sudo tee /etc/containerd/certs.d/${host}/hosts.toml`],
    ]],
    ["K3s and RKE2", "If there is a registries.yaml already, add these lines to its configs instead. RKE2 has /etc/rancher/rke2 and rke2-server or rke2-agent.", [
      ["put the CA in place", "sudo install -Dm644 ca.crt /etc/rancher/k3s/homelab-registry-ca.crt"],
      ["name it there", `printf 'configs:\\n  "${host}":\\n    tls:\\n      ca_file: /etc/rancher/k3s/homelab-registry-ca.crt\\n' | sudo tee /etc/rancher/k3s/registries.yaml`],
      ["have it read", "sudo systemctl restart k3s"],
    ]],
    ["Debian and Ubuntu, for every program", "Restart Docker after this one.", [
      ["trust the CA", "sudo install -m644 ca.crt /usr/local/share/ca-certificates/homelab-registry.crt && sudo update-ca-certificates"],
    ]],
    ["macOS", "Not tried by this project. Then restart Docker Desktop or OrbStack.", [
      ["trust the CA", "security add-trusted-cert -k ~/Library/Keychains/login.keychain-db ca.crt"],
      ["for Docker Desktop", `mkdir -p ~/.docker/certs.d/${host} && cp ca.crt ~/.docker/certs.d/${host}/`],
    ]],
    ["Windows", "Not tried by this project. In PowerShell as administrator. Then restart Docker Desktop.", [
      ["trust the CA", "Import-Certificate -FilePath ca.crt -CertStoreLocation Cert:\\LocalMachine\\Root"],
      ["for Docker Desktop", `New-Item -Force -ItemType Directory $HOME\\.docker\\certs.d\\${folder}${folder === host ? "" : "_"}; Copy-Item ca.crt $HOME\\.docker\\certs.d\\${folder}${folder === host ? "" : "_"}\\`],
    ]],
    ["A machine that does not know the name", "Only if your DNS has no entry for it. Take the registry host’s address for ADDRESS.", [
      ["name it in /etc/hosts", `echo "ADDRESS ${name}" | sudo tee -a /etc/hosts`],
    ]],
  ];
}

/** Show the page into `main`. */
export function showConnect(main) {
  const prints = h("div", {}, "…");
  fill(main,
    heading("Connect a machine"),
    h("p", {}, "Hosts of the inventory are set up by ", h("code", {}, "make deploy"),
      ". Any other machine needs the registry’s certificate authority (CA), and then a login. ",
      h("code", {}, "make workstation"), " writes a script that does this in one command; by hand it is:"),
    h("section", {},
      h("h3", {}, "1. Get the CA"),
      h("p", {}, h("a", { class_: "button", href: CA, download: "ca.crt" }, "Download ca.crt")),
      h("p", {}, "Its SHA-256 fingerprint:"), prints,
      h("p", { class_: "muted" }, "Compare it with the one of ca.crt in the state folder of who runs the registry: ",
        h("code", {}, "openssl x509 -in ca.crt -noout -fingerprint -sha256"),
        ". Until you have, somebody else may have sent you this page.")),
    h("section", {},
      h("h3", {}, "2. Trust it"),
      h("p", {}, "Run these where you have saved the file."),
      systems(location.host, location.hostname).map(([name, note, rows], number) =>
        h("details", { class_: "system", open: number === 0 }, h("summary", {}, name), note && h("p", {}, note), lines(rows)))),
    h("section", {}, h("h3", {}, "3. Push an image"),
      lines([["name it", `docker tag IMAGE ${location.host}/IMAGE`], ["push it", `docker push ${location.host}/IMAGE`]])),
  );
  showFingerprints(prints);
}

async function showFingerprints(place) {
  try {
    const answer = await fetch(CA, { credentials: "omit" });
    if (!answer.ok) throw new Error(answer.status);
    const found = await fingerprints(await answer.text());
    fill(place, ...found.map((each) => copyable(each, "fingerprint")),
      found.length > 1 ? h("p", {}, "There are two while the CA is being replaced; both are in the file.") : "");
  } catch {
    fill(place, notice("The CA could not be read. Reload the page.", "bad"));
  }
}
