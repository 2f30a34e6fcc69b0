// Delete tags, one by one: a tag goes, and other tags of its image stay.
//
// Registry 3 deletes a tag by its name. 2.8 deletes by digest alone, and with it all tags of an image. There the tag gets
// an empty manifest that nothing else has, and that one is deleted (regclient does the same).

import { bytes, count } from "./images.js";
import { fill, h } from "./view.js";

const EMPTY = "application/vnd.oci.image.index.v1+json";
const TRIES = 3;

/** Deletes tags of a repository; remembers whether the registry can by name. */
class Deleter {
  byName = true;

  constructor(registry, repository) {
    this.registry = registry;
    this.repository = repository;
  }

  /** Delete a tag that has the digest `seen`; return "deleted", "gone", or "moved" if it was pushed again since. */
  async delete(tag, seen) {
    let manifest;
    try {
      manifest = await this.registry.manifest(this.repository, tag);
    } catch (error) {
      if (error.status === 404) return "gone";
      throw error;
    }
    if (seen && manifest.digest !== seen) return "moved";
    if (this.byName) {
      try {
        await this.registry.deleteManifest(this.repository, tag);
        return "deleted";
      } catch (error) {
        if (error.status === 404) return "gone";
        if (error.status !== 400) throw error;
        this.byName = false;
      }
    }
    await this.#byEmptyManifest(tag, manifest);
    return "deleted";
  }

  async #byEmptyManifest(tag, before) {
    const unique = { "homelab-registry.deleted": crypto.randomUUID() };
    const empty = JSON.stringify({ schemaVersion: 2, mediaType: EMPTY, manifests: [], annotations: unique });
    const digest = await this.registry.putManifest(this.repository, tag, EMPTY, empty);
    for (let left = TRIES; ; left--) {
      try {
        await this.registry.deleteManifest(this.repository, digest);
        return;
      } catch (error) {
        if (error.status === 404) return;
        if (left > 1) continue;
        // The tag must not be left without its image.
        await this.registry.putManifest(this.repository, tag, before.type, before.text);
        throw error;
      }
    }
  }
}

/** Ask whether these tags are to be deleted, and delete them. Return whether any is gone.
 *
 * `chosen` has for each tag its `name` and what is known of it: `digest`, `size`, `shared`, `runs`; `others` are all tags
 * of the repository, likewise. `facts` says what the registry keeps for how long, `usesKnown` whether a run saw what runs.
 * `moved` is told the name of a tag that has another image by now.
 */
export function askAndDelete({ registry, repository, chosen, others, facts, usesKnown, moved = () => {} }) {
  return new Promise((resolve) => {
    let gone = false;
    const left = new Set(chosen.map((each) => each.name));
    const running = chosen.filter((each) => each.runs?.length);
    const consent = h("input", { type: "checkbox", id: "consent", onchange: () => (go.disabled = !consent.checked) });
    const go = h("button", { type: "button", class_: "danger", disabled: running.length > 0, onclick: run },
      `Delete ${count(chosen.length, "tag")}`);
    const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const progress = h("div", { role: "status" });
    const list = h("ul", { class_: "doomed", tabindex: "0", "aria-label": "Tags to delete" },
      chosen.map((each) => row(each, others, left)));
    const dialog = h("dialog", { "aria-labelledby": "delete-title", onclose: close },
      h("h2", { id: "delete-title" }, `Delete ${count(chosen.length, "tag")} of ${repository}?`),
      list,
      running.length > 0 && h("label", { class_: "notice warn" }, consent,
        ` ${running.map((each) => each.name).join(", ")}: in use. A pod or container that starts again elsewhere will not find the image. Delete anyway.`),
      !usesKnown && h("p", { class_: "notice" }, "What runs where is not known: no run has looked yet."),
      h("p", { class_: "muted" }, "Other tags of the same images stay, also those that are not named here. ", room(chosen, facts)),
      progress,
      h("div", { class_: "buttons" }, cancel, go));

    async function run() {
      go.disabled = cancel.disabled = true;
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      const deleter = new Deleter(registry, repository);
      const notes = [];
      let done = 0;
      for (const each of chosen) {
        progress.textContent = `Deleting ${each.name} (${done + 1} of ${chosen.length}) …`;
        try {
          const outcome = await deleter.delete(each.name, each.digest);
          if (outcome !== "moved") done++;
          else {
            notes.push(`${each.name} was pushed again meanwhile, and stays.`);
            moved(each.name);
          }
        } catch (error) {
          notes.push(`${each.name} stays: ${error.message}`);
          if (error.status === 0 || error.status === 401 || error.status === 405) break;
        }
      }
      gone = true;
      if (!notes.length) return dialog.close(`${count(done, "tag")} deleted`);
      fill(progress, h("p", {}, `${count(done, "tag")} deleted, ${chosen.length - done} not:`),
        h("ul", {}, notes.map((note) => h("li", {}, note))));
      go.remove();
      cancel.disabled = false;
      cancel.textContent = "Close";
      cancel.focus();
    }
    function close() {
      dialog.remove();
      resolve(gone ? dialog.returnValue || "Some tags stay" : null);
    }
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}

function row(each, others, doomed) {
  const twins = each.digest ? others.filter((other) => other.digest === each.digest && other.name !== each.name) : [];
  const staying = twins.filter((twin) => !doomed.has(twin.name)).map((twin) => twin.name);
  return h("li", {}, h("strong", {}, each.name),
    staying.length > 0 && h("span", {}, ` same image as ${some(staying)}, which ${staying.length === 1 ? "stays" : "stay"}`),
    each.runs?.length > 0 && h("span", { class_: "warn" }, ` used by ${some(each.runs)}`));
}

function some(names) {
  return names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

function room(chosen, facts) {
  const sure = chosen.every((each) => each.shared !== undefined);
  const alone = chosen.reduce((sum, each) => sum + each.size - each.shared, 0);
  const what = !sure ? "How much becomes free is not known yet; it does so"
    : alone > 0 ? `At least ${bytes(alone)} become free`
    : "All of their data is shared; it becomes free with the last tag that needs it,";
  const days = facts.untagged_days;
  if (days === null) return `${what} only if registry_untagged_days is set: images without a tag stay until then.`;
  const trash = facts.trash_days ? `, and ${count(facts.trash_days, "day")} later, when its trash is emptied` : "";
  return `${what} when make make-room runs${trash}. Images that were pushed in the last ${count(days, "day")} wait for that long. Until then all can be pulled by digest.`;
}
