// Colours: the system's, light, dark.
const theme = document.getElementById("theme");
const themes = ["automatic", "light", "dark"];
const remembered = () => { try { return localStorage.getItem("irsde-theme"); } catch { return null; } };
const paint = (name) => {
  theme.textContent = `Theme: ${name}`;
  if (name === "automatic") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
};
let chosen = themes.includes(remembered()) ? remembered() : "automatic";
paint(chosen);
theme.hidden = false;
theme.addEventListener("click", () => {
  chosen = themes[(themes.indexOf(chosen) + 1) % themes.length];
  paint(chosen);
  try { localStorage.setItem("irsde-theme", chosen); } catch { /* not from this place */ }
});

// Run cards, filled when they are opened.
const flat = (value, name = "") => {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
  }
  return [[name, value === null ? "none" : typeof value === "object" ? JSON.stringify(value) : String(value)]];
};
const fillCard = (details) => {
  const run = details.dataset.run;
  const card = page.runs[run];
  const parts = Object.entries(card);
  const nested = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const inside = el("div", { class: "inside" }, commands(page.commands[run].concat(
    page.evaluations[run].flatMap((folder) => page.commands[folder].slice(-1)))));
  inside.append(facts(parts.filter(([, value]) => !nested(value)).flatMap(([key, value]) => flat(value, key))));
  parts.filter(([, value]) => nested(value)).forEach(([key, value]) => {
    const lines = flat(value);
    inside.append(el("h5", {}, key), lines.length ? facts(lines) : el("p", { class: "caption" }, "none found"));
  });
  inside.append(el("p", { class: "caption" }, "File: ", link(run)));
  details.append(inside);
};

// Captions of two lines; the rest is unfolded by a button.
const fold = (text) => {
  const button = el("button", { type: "button", class: "more", "aria-expanded": "false" }, "More");
  const measure = () => {
    if (text.classList.contains("folded")) button.hidden = text.scrollHeight <= text.clientHeight + 1;
  };
  button.addEventListener("click", () => {
    const isFolded = text.classList.toggle("folded");
    button.setAttribute("aria-expanded", String(!isFolded));
    button.textContent = isFolded ? "More" : "Less";
    measure();
  });
  text.classList.add("folded");
  text.after(button);
  new ResizeObserver(measure).observe(text);
};

const started = performance.now();
document.querySelectorAll(".caption > .text, figcaption > .text").forEach(fold);
document.querySelectorAll("[data-table]").forEach(enhanceTable);
document.querySelectorAll("[data-set]").forEach((section) => {
  const set = read(section.dataset.set);
  const view = makeViewer(section.querySelector(".viewer"), set);
  makeValues(section.querySelector(".values"), set, view);
});
document.querySelectorAll("details.card").forEach((details) => {
  details.addEventListener("toggle", () => fillCard(details), { once: true });
});
document.documentElement.dataset.ready = (performance.now() - started).toFixed(1);

// Where the reader is, in the contents.
const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
const inSight = new Set();
const watcher = new IntersectionObserver((entries) => {
  entries.forEach(({ target, isIntersecting }) => inSight[isIntersecting ? "add" : "delete"](target.id));
  const first = [...links.keys()].findLast((id) => inSight.has(id));
  links.forEach((a, id) => { if (id === first) a.setAttribute("aria-current", "true"); else a.removeAttribute("aria-current"); });
}, { rootMargin: "-15% 0px -70% 0px" });
links.forEach((_, id) => { const target = document.getElementById(id); if (target) watcher.observe(target); });
