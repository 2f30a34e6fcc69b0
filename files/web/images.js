// What is known of images, and how it is written for people. Nothing here asks or shows anything.

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];
const STEPS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "long" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const NAMES = new Intl.Collator("en", { numeric: true });
const INDEX = /(image\.index|manifest\.list)/;

/** Order names so that 1.10 comes after 1.9. */
export const byName = NAMES.compare;

/** Return a number of bytes as people read it, such as `212 MB`. */
export function bytes(count) {
  let unit = 0;
  for (; count >= 999.5 && unit < UNITS.length - 1; unit++) count /= 1000;
  return `${count >= 99.5 || unit === 0 ? Math.round(count) : Number(count.toPrecision(count < 9.95 ? 2 : 3))} ${UNITS[unit]}`;
}

/** Return how long ago a time is, in seconds since 1970, such as `3 days ago`. */
export function ago(time, now = Date.now() / 1000) {
  const [unit, length] = STEPS.find(([, each]) => Math.abs(now - time) >= each) ?? ["minute", 60];
  return RELATIVE.format(Math.round((time - now) / length), unit);
}

export const date = (time) => DATE.format(new Date(time * 1000));
export const moment = (time) => MOMENT.format(new Date(time * 1000));
export const short = (digest) => digest.replace(/^(\w+:\w{12}).*/, "$1");

/** Return a number of things, such as `2 repositories`. */
export function count(number, what) {
  return `${number.toLocaleString("en")} ${number === 1 ? what : `${what.replace(/([^aeiou])y$/, "$1ie")}s`}`;
}

/** Return repositories as a tree: each node has `name`, its `path`, `children` by name, and whether it `is` one. */
export function tree(repositories) {
  const root = { children: new Map() };
  for (const path of repositories) {
    let node = root;
    let above = "";
    for (const name of path.split("/")) {
      above += (above && "/") + name;
      if (!node.children.has(name)) node.children.set(name, { name, path: above, is: false, children: new Map() });
      node = node.children.get(name);
    }
    node.is = true;
  }
  return root;
}

/** What a run knew of a tag when it read the images; null if it did not know the tag. */
export function known(index, repository, tag) {
  const found = index?.repositories[repository];
  const place = found?.tags[tag];
  if (!place) return null;
  const [number, pushed] = place;
  const [digest, size, shared, users] = found.images[number];
  return { digest, size, shared, pushed, runs: users.length || index.uses_known ? users : undefined };
}

/** Return whether a manifest is a list of images for several platforms. */
export const isIndex = ({ type, content }) => INDEX.test(content.mediaType ?? type) || Array.isArray(content.manifests);

/** Return the images that a manifest lists, with `platform`, or null for what is no image, such as a signature. */
export function listed(manifest) {
  return (manifest.content.manifests ?? []).map((each) => ({
    digest: each.digest,
    platform: each.platform && each.platform.os !== "unknown" ? platformName(each.platform) : null,
    type: each.annotations?.["vnd.docker.reference.type"] ?? "",
  }));
}

/** Return a platform as Docker writes it, such as `linux/arm/v7`. */
export function platformName({ os, architecture, variant }) {
  return [os, architecture, variant].filter(Boolean).join("/");
}

/** Return what an image is made of: its `layers` with size and digest, and all their bytes with the configuration. */
export function parts({ content }) {
  const layers = content.layers ?? [];
  return { config: content.config, layers, size: layers.reduce((sum, each) => sum + each.size, content.config?.size ?? 0) };
}

/** Return the steps that made an image, the last one first, from its configuration. */
export function history(config) {
  return (config.history ?? []).map((each) => ({
    text: (each.created_by ?? each.comment ?? "").replace(/^\/bin\/sh -c (#\(nop\) *)?/, "").replace(/ # buildkit$/, ""),
    empty: Boolean(each.empty_layer),
  })).reverse();
}
