// A repository: its tags as a table, and the choice of those that are to be deleted.

import { askAndDelete } from "./delete.js";
import { ago, byName, bytes, count, known, moment, short } from "./images.js";
import { read } from "./tag.js";
import { fill, h, heading, notice } from "./view.js";

const AT_ONCE = 2;
const COLUMNS = [["tag", "Tag"], ["pushed", "Pushed"], ["size", "Size"], ["digest", "Digest"], ["runs", "Used by"]];

/** Show the tags of a repository into `main`. */
export async function showRepository({ main, state, repository, current, failed, deleted }) {
  const title = heading(repository);
  const place = h("div", {}, h("p", { class_: "muted" }, "Reading the tags …"));
  fill(main, h("p", { class_: "back" }, h("a", { href: "#/" }, "← All repositories")), title, place);
  let names;
  try {
    names = await state.registry.tags(repository);
  } catch (error) {
    return failed(error, place);
  }
  if (!current()) return;
  forget(state, repository, (tag) => !names.includes(tag));
  if (!names.length) return fill(place, notice("There is no tag in this repository."));
  const rows = names.map((name) => ({ name, chosen: false, ...known(state.index, repository, name) }));
  const may = state.registry.role === "admin" && state.about.deletes;
  const unread = rows.filter((row) => !row.digest).length;
  const order = { by: rows.some((row) => row.pushed) ? "pushed" : "tag", down: true };
  const filter = h("input", { type: "search", placeholder: "Filter tags", "aria-label": "Filter tags", oninput: draw });
  const remove = h("button", { type: "button", class_: "danger", disabled: true, onclick: askToDelete });
  const all = h("input", { type: "checkbox", "aria-label": "Choose all tags that are shown", onchange: chooseAll });
  const body = h("tbody");
  const heads = COLUMNS.map(([key, text]) => h("th", { scope: "col", class_: key },
    ["tag", "pushed", "size"].includes(key) ? h("button", { type: "button", onclick: () => sort(key) }, text) : text));
  const table = h("table", {}, h("thead", {}, h("tr", {}, may && h("th", { class_: "choose" }, all), heads)), body);
  const looker = new IntersectionObserver((seen) => seen.filter((each) => each.isIntersecting).forEach((each) => look(each.target)));
  fill(place,
    h("div", { class_: "tools" }, filter, h("span", { class_: "muted" }, count(names.length, "tag")), may && remove),
    state.index !== undefined && unread > 0 && h("p", { class_: "muted" }, state.index
      ? `${count(unread, "tag")} came after the images were read, ${ago(state.index.read_at)}: when it was pushed and what uses it is not known yet.`
      : "No run has read the images yet, so when they were pushed, what they share and what uses them is not known. make make-room PLAN=1 reads them."),
    h("div", { class_: "scroll", tabindex: "0", role: "region", "aria-label": `Tags of ${repository}` }, table));
  draw();

  function shown() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const value = (row) => (order.by === "pushed" ? row.pushed ?? Infinity : row.size ?? -1);
    const found = rows.filter((row) => words.every((word) => row.name.toLowerCase().includes(word)));
    found.sort((a, b) => (order.by === "tag" ? byName(a.name, b.name) : value(a) - value(b) || byName(a.name, b.name)));
    return order.down ? found.reverse() : found;
  }

  function draw() {
    looker.disconnect();
    COLUMNS.forEach(([key], number) => heads[number].setAttribute("aria-sort", key === order.by ? (order.down ? "descending" : "ascending") : "none"));
    fill(body, ...shown().map((row) => {
      row.line = h("tr", {}, cells(row));
      row.line.row = row;
      if (!row.digest) looker.observe(row.line);
      return row.line;
    }));
    choose();
  }

  function cells(row) {
    const box = h("input", { type: "checkbox", checked: row.chosen, "aria-label": `Choose ${row.name}`, onchange: () => { row.chosen = box.checked; choose(); } });
    const unknown = () => h("span", { class_: "muted", title: "Not known" }, "–");
    return [
      may && h("td", { class_: "choose" }, box),
      h("th", { scope: "row", class_: "tag" }, h("a", { href: `#/${repository}:${row.name}` }, row.name)),
      h("td", { class_: "pushed", title: row.pushed && moment(row.pushed) }, row.pushed ? ago(row.pushed) : unknown()),
      h("td", { class_: "size" }, row.size === undefined ? unknown() : [bytes(row.size), row.shared > 0 && h("small", { class_: "muted" }, ` ${bytes(row.shared)} shared`)]),
      h("td", { class_: "digest" }, row.digest ? h("code", { title: row.digest }, short(row.digest).replace("sha256:", "")) : unknown()),
      h("td", { class_: "runs" }, row.runs?.length ? row.runs.join(", ") : row.runs ? "" : unknown()),
    ];
  }

  // What no run knew is asked for when it comes into view, a few at once: a password that a person chose is slow to check.
  const waiting = [];
  let asking = 0;
  function look(line) {
    looker.unobserve(line);
    waiting.push(line.row);
    if (asking < AT_ONCE) next();
  }
  async function next() {
    const row = waiting.shift();
    if (!row || !current()) return;
    asking++;
    try {
      const { digest, size } = await read(state.registry, repository, row.name);
      Object.assign(row, { digest, size });
      fill(row.line, cells(row));
    } catch (error) {
      if (error.status === 401) return failed(error);
      if (error.status === 429) waiting.length = 0;
    }
    asking--;
    next();
  }

  function sort(key) {
    order.down = order.by === key ? !order.down : key !== "tag";
    order.by = key;
    draw();
  }

  function choose() {
    const chosen = rows.filter((row) => row.chosen);
    const here = shown();
    all.checked = here.length > 0 && here.every((row) => row.chosen);
    all.indeterminate = !all.checked && here.some((row) => row.chosen);
    remove.disabled = chosen.length === 0;
    remove.textContent = chosen.length ? `Delete ${count(chosen.length, "tag")} …` : "Delete …";
  }

  function chooseAll() {
    const { checked } = all;
    shown().forEach((row) => (row.chosen = checked));
    draw();
  }

  async function askToDelete() {
    const chosen = rows.filter((row) => row.chosen);
    const text = await askAndDelete({
      registry: state.registry, repository, chosen, others: rows, facts: state.about,
      usesKnown: Boolean(state.index?.uses_known), moved: (name) => forget(state, repository, (tag) => tag === name),
    });
    if (text) deleted(text);
    else remove.focus();
  }
}

/** Take out of the index what is known to be outdated: tags that are gone, or were pushed again. */
function forget(state, repository, isOutdated) {
  const tags = state.index?.repositories[repository]?.tags ?? {};
  for (const name of Object.keys(tags).filter(isOutdated)) delete tags[name];
  state.drawSide();
}
