// A tag: what its image is made of, what runs it where, and lines to copy.

import { askAndDelete } from "./delete.js";
import { ago, bytes, count, history, isIndex, known, listed, moment, parts, platformName, short } from "./images.js";
import { copyable, facts, fill, h, heading, lines, notice } from "./view.js";

/** Return digest and size of a tag. The size of an image for several platforms is that of all of them. */
export async function read(registry, repository, tag) {
  const manifest = await registry.manifest(repository, tag);
  if (!isIndex(manifest)) return { manifest, digest: manifest.digest, size: parts(manifest).size };
  const blobs = new Map();
  for (const { digest } of listed(manifest)) {
    const { config, layers } = parts(await registry.manifest(repository, digest));
    for (const each of [config, ...layers].filter(Boolean)) blobs.set(each.digest, each.size);
  }
  return { manifest, digest: manifest.digest, size: [...blobs.values()].reduce((sum, each) => sum + each, 0) };
}

/** Show a tag into `main`. */
export async function showTag({ main, state, repository, tag, current, failed, deleted }) {
  const place = h("div", {}, h("p", { class_: "muted" }, "Reading the image …"));
  const may = state.registry.role === "admin" && state.about.deletes;
  const remove = may && h("button", { type: "button", class_: "danger", disabled: true }, "Delete …");
  fill(main,
    h("p", { class_: "back" }, h("a", { href: `#/${repository}` }, `← ${repository}`)),
    heading(`${repository}:${tag}`, remove), place);
  let found;
  try {
    found = await read(state.registry, repository, tag);
  } catch (error) {
    return failed(error, place);
  }
  if (!current()) return;
  const before = known(state.index, repository, tag);
  const details = before?.digest === found.digest ? before : null;
  const tags = Object.keys(state.index?.repositories[repository]?.tags ?? {}).map((name) => ({ name, ...known(state.index, repository, name) }));
  const twins = tags.filter((each) => each.digest === found.digest && each.name !== tag).map((each) => each.name);
  const images = isIndex(found.manifest) ? listed(found.manifest) : null;
  const image = `${state.about.name}/${repository}`;
  const content = h("div", { class_: "parts" });
  const unknown = () => h("span", { class_: "muted" }, state.index === undefined ? "being read …" : "not known: no run has read this image yet");
  fill(place,
    h("section", {}, facts([
      ["Pushed", details ? `${ago(details.pushed)} (${moment(details.pushed)})` : unknown()],
      ["Size", bytes(found.size)],
      ["Shared", details ? `${bytes(details.shared)} of it, with other tags` : unknown()],
      ["Used by", details?.runs ? (details.runs.length ? h("ul", { class_: "plain" }, details.runs.map((each) => h("li", {}, each))) : "nothing that a run knew of") : unknown()],
      ["Same image", twins.length ? twins.flatMap((each, number) => [number ? ", " : "", h("a", { href: `#/${repository}:${each}` }, each)]) : undefined],
      ["Platforms", images ? images.filter((each) => each.platform).map((each) => each.platform).join(", ") : h("span", { id: "platform" }, "…")],
      ["Digest", copyable(found.digest, "digest")],
    ])),
    h("section", {}, h("h3", {}, "Use it"), lines([
      ["Docker", `docker pull ${image}:${tag}`],
      ["Podman", `podman pull ${image}:${tag}`],
      ["crictl", `crictl pull ${image}@${found.digest}`],
      ["Kubernetes", `image: ${image}@${found.digest} # ${tag}`],
    ])),
    content);
  if (remove) {
    remove.disabled = false;
    remove.addEventListener("click", async () => {
      const row = { name: tag, digest: found.digest, size: found.size, shared: details?.shared, runs: details?.runs };
      const text = await askAndDelete({ registry: state.registry, repository, chosen: [row], others: tags, facts: state.about, usesKnown: Boolean(details?.runs) });
      if (!text) return remove.focus();
      location.hash = `#/${repository}`;
      deleted(text);
    });
  }
  try {
    if (images) await showPlatforms(content, state.registry, repository, images);
    else await showImage(content, state.registry, repository, found.manifest);
  } catch (error) {
    failed(error, content);
  }
}

async function showPlatforms(place, registry, repository, images) {
  const real = images.filter((each) => each.platform);
  if (!real.length) return fill(place, notice("This image has nothing for any platform."));
  const content = h("div");
  const choice = h("select", { id: "choice", onchange: () => draw(real[choice.selectedIndex]) }, real.map((each) => h("option", {}, each.platform)));
  const others = images.length - real.length;
  fill(place,
    h("p", { class_: "tools" }, h("label", { for: "choice" }, "Platform "), choice,
      others > 0 && h("span", { class_: "muted" }, `and ${count(others, "attachment")}, such as a build’s provenance`)),
    content);
  const draw = async (each) => showImage(content, registry, repository, await registry.manifest(repository, each.digest));
  await draw(real[0]);
}

async function showImage(place, registry, repository, manifest) {
  const { config, layers } = parts(manifest);
  const about = config && /json/.test(config.mediaType) ? await registry.blob(repository, config.digest).catch(() => ({})) : {};
  const platform = document.getElementById("platform");
  if (platform) platform.textContent = about.os ? platformName(about) : "not said by this image";
  const steps = history(about);
  fill(place,
    h("section", {}, h("h3", {}, "Layers"),
      about.created && h("p", { class_: "muted" }, `Built ${ago(Date.parse(about.created) / 1000)}.`),
      h("table", { class_: "small" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Digest"), h("th", { scope: "col", class_: "size" }, "Size"))),
        h("tbody", {}, layers.map((each) => h("tr", {}, h("td", {}, h("code", { title: each.digest }, short(each.digest))), h("td", { class_: "size" }, bytes(each.size))))))),
    steps.length > 0 && h("details", { class_: "system" }, h("summary", {}, `History (${count(steps.length, "step")}, the last one first)`),
      h("ol", { class_: "history" }, steps.map((each) => h("li", { class_: each.empty ? "muted" : "" }, h("code", {}, each.text))))));
}
