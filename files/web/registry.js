// The registry's API, and what the gateway tells beside it. The password stays in memory, here and nowhere else.

const MANIFESTS = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/** An answer that is no success. `status` is that of HTTP, 0 if nothing answered. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A signed-in account. `role` is what the registry says of it. */
export class Registry {
  #authorization;

  constructor(user, password) {
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    this.#authorization = `Basic ${btoa(String.fromCharCode(...bytes))}`;
    this.user = user;
    this.role = "";
  }

  /** Prove the password; `Refused` if it is wrong. */
  async signIn() {
    const answer = await this.#ask("/v2/");
    this.role = answer.headers.get("X-Registry-Role") ?? "";
  }

  /** Return the names of all repositories. */
  repositories() {
    return this.#pages("/v2/_catalog?n=1000", "repositories");
  }

  /** Return the tags of a repository; none if it is gone. */
  async tags(repository) {
    try {
      return await this.#pages(`/v2/${repository}/tags/list`, "tags");
    } catch (error) {
      if (error.status === 404) return [];
      throw error;
    }
  }

  /** Return a manifest by tag or digest: its `digest`, its `text` as it is stored, and what that says. */
  async manifest(repository, reference) {
    const answer = await this.#ask(`/v2/${repository}/manifests/${reference}`, { headers: { Accept: MANIFESTS } });
    const text = await answer.text();
    const type = answer.headers.get("Content-Type") ?? "";
    return { digest: answer.headers.get("Docker-Content-Digest"), type, text, content: JSON.parse(text) };
  }

  /** Return a blob that is JSON. */
  async blob(repository, digest) {
    return (await this.#ask(`/v2/${repository}/blobs/${digest}`)).json();
  }

  /** Store a manifest under a tag, and return its digest. */
  async putManifest(repository, tag, type, text) {
    const put = { method: "PUT", headers: { "Content-Type": type }, body: text };
    return (await this.#ask(`/v2/${repository}/manifests/${tag}`, put)).headers.get("Docker-Content-Digest");
  }

  /** Delete by tag or digest; a tag only where the registry can. */
  deleteManifest(repository, reference) {
    return this.#ask(`/v2/${repository}/manifests/${reference}`, { method: "DELETE" });
  }

  /** Return what is known of this registry: its name, certificate, limits. */
  async about() {
    return (await this.#ask("/web/about.json")).json();
  }

  /** Return what a run read of the images, with `read_at`, when it did; null if none did yet. */
  index() {
    return this.#ifThere(async () => {
      const answer = await this.#ask("/web/index.json");
      return { ...(await answer.json()), read_at: Date.parse(answer.headers.get("Last-Modified")) / 1000 };
    });
  }

  /** Return the bytes that are used, when that was measured, and when at the latest it is again; null without a limit. */
  used() {
    return this.#ifThere(async () => {
      const [bytes, at, due] = (await (await this.#ask("/web/used")).text()).trim().split(" ").map(Number);
      return { bytes, at, due };
    });
  }

  async #ifThere(read) {
    try {
      return await read();
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  }

  async #pages(path, key) {
    const found = [];
    for (let next = path; next; ) {
      const answer = await this.#ask(next);
      found.push(...((await answer.json())[key] ?? []));
      const link = /<([^>]+)>;\s*rel="?next"?/.exec(answer.headers.get("Link") ?? "");
      const url = link && new URL(link[1], location.origin);
      next = url && url.pathname + url.search;
    }
    return found;
  }

  async #ask(path, { headers, ...options } = {}) {
    const request = {
      ...options,
      headers: { ...headers, Authorization: this.#authorization },
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    };
    const again = () => (request.method ? Promise.reject() : fetch(path, request));  // a network may have changed
    const answer = await fetch(path, request).catch(again).catch(() => {
      throw new Refused(0, "The registry does not answer.");
    });
    if (answer.ok) return answer;
    throw new Refused(answer.status, await reason(answer));
  }
}

async function reason(answer) {
  if (answer.status === 401) return "User or password is wrong.";
  if (answer.status === 429) return "Too many requests or wrong passwords at once. Try again in a moment.";
  try {
    const [error] = (await answer.json()).errors;
    return `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
  } catch {
    return `The registry answered ${answer.status}.`;
  }
}
