// Small pieces that the page is made of.

/** Make an element. What is in it is text or other elements, never markup. */
export function h(tag, properties = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "role" && typeof value !== "string") made[name] = value;
    else made.setAttribute(name === "class_" ? "class" : name, value === true ? "" : value);
  }
  made.append(...inside.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}

/** Replace what is in an element. */
export function fill(place, ...inside) {
  place.replaceChildren(...h("div", {}, inside).childNodes);
}

export const $ = (id) => document.getElementById(id);

/** Say something to everyone, also to who does not see the page. */
export function say(text) {
  const status = $("status");
  status.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (status.textContent = ""), 6000);
}

/** Return a line of text that a button copies. */
export function copyable(text, what) {
  const button = h("button", { type: "button", class_: "copy", "aria-label": `Copy ${what}`, onclick: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(code);
      return say("Selected. Press Ctrl+C to copy.");
    }
    button.textContent = "Copied";
    say(`Copied: ${what}`);
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }
  const code = h("code", { tabindex: "0" }, text);
  return h("div", { class_: "line" }, code, button);
}

/** Return lines to copy, each below what it is for. */
export function lines(rows) {
  return h("dl", { class_: "lines" }, rows.map(([name, text]) => [h("dt", {}, name), h("dd", {}, copyable(text, name))]));
}

/** Return names and values in two columns; rows without a value are left out. */
export function facts(rows) {
  const found = rows.filter(([, value]) => value !== null && value !== undefined);
  return h("dl", { class_: "facts" }, found.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Return a notice. */
export const notice = (text, kind = "") => h("p", { class_: `notice ${kind}` }, text);

/** Return a heading level 2 with what is beside it. */
export const heading = (text, ...beside) => h("div", { class_: "heading" }, h("h2", {}, text), beside);
