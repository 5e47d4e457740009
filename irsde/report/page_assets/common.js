"use strict";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const page = read("page-data");
const missing = "n/a";

/** A new element: attributes as given, functions as listeners, strings as text. */
const el = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (typeof value === "boolean") made.toggleAttribute(name, value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
const option = (value, text, selected = false) => el("option", { value: String(value), selected }, text);
const labelled = (text, control, kind = "") => el("label", kind ? { class: kind } : {}, text, control);
const say = (text) => { document.getElementById("said").textContent = text; };

// Commands with a button that copies them.
const copy = async (text, button) => {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    const area = el("textarea", { class: "hidden" });
    area.value = text;
    button.after(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Copying is not allowed here";
  say(button.textContent);
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
};
const commands = (lines) => {
  const button = el("button", { type: "button", class: "button" }, "Copy");
  button.addEventListener("click", () => copy(lines.join("\n"), button));
  return el("div", { class: "commands" }, el("pre", {}, lines.join("\n")), button);
};
const facts = (pairs) => el("dl", { class: "facts" },
  ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
const unique = (values) => [...new Set(values)];

// A number as JSON holds it: an infinite one as a word, none as null.
const number = (value) => (value === null ? NaN : value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);

// Order of values, the missing ones always last.
const byValue = (value, descending) => (a, b) => {
  const [x, y] = [value(a), value(b)];
  const gone = (v) => v === null || Number.isNaN(v);
  if (gone(x) || gone(y)) return gone(x) - gone(y) || a - b;
  const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x < y ? -1 : x > y ? 1 : 0;
  return (descending ? -order : order) || a - b;
};
const sortButton = (header, text, pressed) => {
  header.replaceChildren(el("button", { type: "button", click: pressed }, text));
};
