// The page: sign in, the list of repositories, what is shown, and the way from one to the other (the part after # in the
// address). All that is known of the registry is in `state`, and goes when somebody signs out.

import { showConnect } from "./connect.js";
import { ago, byName, bytes, count, date, moment, tree } from "./images.js";
import { Registry } from "./registry.js";
import { showRepository } from "./repository.js";
import { showTag } from "./tag.js";
import { $, facts, fill, h, heading, notice, say } from "./view.js";

let state = null;

function main() {
  document.title = $("name").textContent = location.hostname;
  $("sign-out").addEventListener("click", () => signOut("You are signed out."));
  addEventListener("hashchange", () => {
    show();
    if (document.activeElement === document.body) $("main").focus();
    scrollTo(0, 0);
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(event.target.tagName) && $("filter")) {
      event.preventDefault();
      $("filter").focus();
    }
  });
  show();
}

/** Show what the address names. */
function show() {
  const place = decodeURIComponent(location.hash.slice(1));
  const connect = place === "connect";
  for (const [id, here] of [["to-images", !connect], ["to-connect", connect]]) {
    if (here) $(id).setAttribute("aria-current", "page");
    else $(id).removeAttribute("aria-current");
  }
  $("account").hidden = !state;
  $("side").hidden = !state || connect;
  document.body.dataset.at = connect || !state ? "alone" : place.length > 1 ? "image" : "list";
  if (connect) return showConnect($("main"));
  if (!state) return showSignIn();
  mark(place);
  const [, repository, tag] = /^\/([^:]*):?(.*)$/.exec(place) ?? ["", "", ""];
  if (!repository) return showOverview();
  const page = { main: $("main"), state, repository, current: () => location.hash.slice(1) === encodeHash(place), failed, deleted };
  if (tag) showTag({ ...page, tag });
  else showRepository(page);
}

const encodeHash = (place) => encodeURI(place);

function showSignIn(text = "") {
  const user = h("input", { id: "user", name: "user", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class_: "notice bad", role: "alert", hidden: !text }, text);
  const button = h("button", { class_: "primary" }, "Sign in");
  fill($("main"),
    h("form", { class_: "card sign-in", onsubmit: submit },
      h("h2", {}, "Sign in"),
      h("p", { class_: "muted" }, "With an account of this registry, as for docker login. Nothing is stored in the browser."),
      h("label", { for: "user" }, "User"), user,
      h("label", { for: "password" }, "Password"), password,
      problem, button));
  user.focus();

  async function submit(event) {
    event.preventDefault();
    problem.hidden = true;
    button.disabled = true;
    try {
      await signIn(new Registry(user.value, password.value));
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      password.select();
    } finally {
      button.disabled = false;
    }
  }
}

async function signIn(registry) {
  await registry.signIn();
  const [repositories, about] = await Promise.all([registry.repositories(), registry.about()]);
  state = { registry, repositories: repositories.sort(byName), about, index: undefined, used: undefined };
  fill($("who"), h("strong", {}, registry.user), registry.role && ` · ${registry.role}`);
  showSide();
  show();
  $("main").focus();
  // What follows is only details: the list can be used already.
  const mine = state;
  try {
    [mine.index, mine.used] = await Promise.all([registry.index(), registry.used()]);
  } catch (error) {
    return failed(error);
  }
  if (state !== mine) return;
  state.drawSide();
  if (!document.querySelector("main :checked, dialog")) show();
}

function signOut(text) {
  state = null;
  fill($("side"));
  fill($("who"));
  history.replaceState(null, "", "/");
  show();
  say(text);
}

/** Show that something could not be read. A password that is not accepted any more ends the session. */
function failed(error, place = null) {
  if (error.status === 401) {
    signOut("");
    return showSignIn("This password is not accepted any more.");
  }
  if (!(error.status >= 0)) console.error(error);
  const text = error.status >= 0 ? error.message : "This page has a fault. Reload it.";
  if (place) fill(place, notice(text, "bad"));
  else say(text);
}

/** Note that tags were deleted: what the index says of the space is of before. */
function deleted(text) {
  say(`${text}.`);
  show();
}

// ---- The list of repositories ----

function showSide() {
  const list = h("div", { id: "tree" });
  const filter = h("input", { id: "filter", type: "search", placeholder: "Filter ( / )", "aria-label": "Filter repositories", oninput: draw });
  const found = h("p", { class_: "muted", role: "status" });
  fill($("side"), filter, found, list);
  state.drawSide = draw;
  draw();

  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const names = state.repositories.filter((name) => words.every((word) => name.includes(word)));
    found.textContent = words.length ? `${names.length} of ${count(state.repositories.length, "repository")}` : count(names.length, "repository");
    fill(list, branch(tree(names), words.length > 0));
    mark(decodeURIComponent(location.hash.slice(1)));
  }
}

function branch(node, open) {
  return h("ul", {}, [...node.children.values()].map((each) => h("li", {},
    each.is && link(each.path, each.name),
    each.children.size > 0 && h("details", { open: open || state.repositories.length <= 60 },
      h("summary", {}, `${each.name}/`), branch(each, open)))));
}

function link(path, name) {
  const tags = state.index?.repositories[path] && Object.keys(state.index.repositories[path].tags).length;
  return h("a", { href: `#/${path}`, "data-path": path }, name, tags !== undefined && h("span", { class_: "muted", title: count(tags, "tag") }, ` ${tags}`));
}

/** Mark the repository that is shown, and open the folders above it. */
function mark(place) {
  for (const each of $("side").querySelectorAll("a")) {
    const here = place === `/${each.dataset.path}` || place.startsWith(`/${each.dataset.path}:`);
    if (!here) {
      each.removeAttribute("aria-current");
      continue;
    }
    each.setAttribute("aria-current", "true");
    for (let above = each.closest("details"); above; above = above.parentElement.closest("details")) above.open = true;
  }
}

// ---- What there is at a glance ----

function showOverview() {
  const { about, index, repositories } = state;
  const tags = index && Object.values(index.repositories).reduce((sum, each) => sum + Object.keys(each.tags).length, 0);
  fill($("main"),
    heading("At a glance"),
    repositories.length === 0 && notice("There is no image yet. “Connect a machine” says how to push one."),
    h("div", { class_: "cards" },
      h("section", { class_: "card" }, h("h3", {}, "Images"),
        h("p", { class_: "big" }, count(repositories.length, "repository")),
        facts([
          ["Tags", index ? tags.toLocaleString("en") : undefined],
          ["Details", index === undefined ? "are being read …" : index ? `read ${ago(index.read_at)} (${moment(index.read_at)})` : "no run has read the images yet"],
        ])),
      storage(),
      certificate(about),
      about.caches.length > 0 && h("section", { class_: "card" }, h("h3", {}, "Caches"),
        h("p", { class_: "big" }, count(about.caches.length, "registry")),
        facts([["Of", about.caches.join(", ")], ["Name", about.cache_name]]))));
}

function storage() {
  const { about, index, used } = state;
  const card = (...inside) => h("section", { class_: "card" }, h("h3", {}, "Storage"), inside);
  if (used) {
    const late = Date.now() / 1000 > used.due;
    const percent = Math.floor((used.bytes * 100) / about.limit);
    return card(
      h("p", { class_: "big" }, `${bytes(used.bytes)} of ${bytes(about.limit)}`),
      h("meter", { min: "0", max: "100", high: String(about.warn), optimum: "0", value: String(Math.min(percent, 100)), "aria-label": "Storage that is used" }),
      facts([["Used", `${percent} %`], ["Measured", ago(used.at)]]),
      late && notice("Nobody has measured since. Run make deploy.", "warn"),
      !late && percent >= about.warn && notice("Run make make-room, or raise registry_storage_limit.", "warn"));
  }
  if (index) return card(h("p", { class_: "big" }, bytes(index.used)), facts([["Of images", `when they were read, ${ago(index.read_at)}`], ["Limit", "none"]]));
  const why = about.limit ? "not measured yet" : "not measured: no limit is set, and no run has read the images";
  return card(h("p", { class_: "big muted" }, "Unknown"), h("p", { class_: "muted" }, used === undefined ? "It is being read …" : why));
}

function certificate(about) {
  const end = Date.parse(about.certificate_ends) / 1000;
  const days = Math.floor((end - Date.now() / 1000) / 86400);
  return h("section", { class_: "card" }, h("h3", {}, "Certificate"),
    h("p", { class_: "big" }, days < 0 ? "has ended" : count(days, "day")),
    facts([["Ends", date(end)], ["CA ends", date(Date.parse(about.ca_ends) / 1000)]]),
    days < 14 && notice("Run make deploy: it renews the certificate.", "warn"));
}

main();
