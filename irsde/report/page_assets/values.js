// The values of every image. Only the rows in sight are in the document.
const makeValues = (holder, set, view) => {
  const count = set.images.length;
  const leaked = new Set(set.leaked);
  const kept = new Set(set.viewer.images);
  const labels = unique(set.methods.flatMap((method) => method.rows.map((row) => row.label)));
  const several = set.methods.some((method) => method.rows.length > 1);
  const cache = new Map();
  const raw = (metric, seed) => {
    const key = `${metric} ${seed}`;
    if (!cache.has(key)) {
      cache.set(key, set.methods.map((method) => {
        const used = method.rows.length === 1 || seed === "mean"
          ? method.rows : method.rows.filter((row) => row.label === seed);
        const columns = used.map((row) => row.values[set.metrics[metric].name]);
        return Float64Array.from({ length: count }, (_, i) => (columns.length
          ? columns.reduce((sum, column) => sum + number(column[i]), 0) / columns.length : NaN));
      }));
    }
    return cache.get(key);
  };
  const state = { metric: 0, seed: "mean", relative: -1, sorted: -1, descending: false, filter: "" };
  let columns = [];
  let order = [];

  const metricChoice = el("select", {}, ...set.metrics.map((metric, index) => option(index, metric.label)));
  const seedChoice = el("select", {}, option("mean", "mean over seeds"), ...labels.map((label) => option(label, label)));
  const relativeChoice = el("select", {}, option(-1, "values"),
    ...set.methods.map((method, index) => option(index, `difference from ${method.label}`)));
  const field = el("input", { type: "search", placeholder: "image or scene", autocomplete: "off" });
  const shown = el("span", { class: "count", role: "status" });
  holder.querySelector(".tools").append(
    labelled("Metric", metricChoice),
    ...(several ? [labelled("Training seed", seedChoice)] : []),
    labelled("Show", relativeChoice), labelled("Filter images", field), shown);

  const names = ["image", "scene", ...set.methods.map((method) => method.label)];
  const headers = names.map((name, column) => {
    const header = el("th", { scope: "col", class: column > 1 ? "numeric" : null });
    sortButton(header, name, () => {
      const first = column > 1 && (state.relative >= 0 || set.metrics[state.metric].higher);
      if (state.sorted !== column) [state.sorted, state.descending] = [column, first];
      else if (state.descending === first) state.descending = !first;
      else state.sorted = -1;
      arrange();
    });
    return header;
  });
  const longest = (texts, most) => Math.min(most, Math.max(6, ...texts.map((text) => text.length)));
  const widths = [longest(set.images, 24) + 4, longest(set.sceneNames, 18) + 3,
    ...set.methods.map((method) => Math.max(12, Math.min(15, method.label.length * 0.75 + 5)))];
  const body = el("tbody");
  const foot = el("tr");
  const table = el("table", { "aria-rowcount": String(count + 1) },
    el("colgroup", {}, ...widths.map((width) => {
      const col = el("col");
      col.style.width = `${width}ch`;
      return col;
    })),
    el("thead", {}, el("tr", { "aria-rowindex": "1" }, ...headers)), body, el("tfoot", {}, foot));
  table.style.width = `${widths.reduce((a, b) => a + b, 0)}ch`;
  const region = holder.querySelector(".region");
  region.replaceChildren(table);

  const text = (value) => {
    if (Number.isNaN(value)) return missing;
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const digits = Math.abs(value).toFixed(set.metrics[state.metric].decimals);
    const zero = Number(digits) === 0;
    const sign = value < 0 && !zero ? "−" : state.relative >= 0 && !zero ? "+" : "";
    return sign + digits;
  };
  const best = (image) => {
    const values = raw(state.metric, state.seed).map((column) => column[image]).filter((v) => !Number.isNaN(v));
    return set.metrics[state.metric].higher ? Math.max(...values) : Math.min(...values);
  };
  const makeRow = (position) => {
    const image = order[position];
    const name = set.images[image];
    const top = best(image);
    const values = raw(state.metric, state.seed);
    const title = el("th", { scope: "row", title: name, class: leaked.has(image) ? "leaked" : null });
    if (kept.has(image)) {
      title.append(el("button", { type: "button", class: "image", "data-image": String(image) }, name));
    } else title.append(name);
    const scene = set.sceneNames[set.scenes[image]];
    return el("tr", { "aria-rowindex": String(position + 2) }, title, el("td", { title: scene }, scene),
      ...columns.map((column, method) => el("td", {
        class: `numeric${values[method][image] === top ? " best" : ""}`,
      }, text(column[image]))));
  };

  const margin = 15;
  let height = 0;
  let first = -1;
  const draw = (force = false, all = false) => {
    height = height || body.rows[1]?.getBoundingClientRect().height || 32;
    const rows = all ? order.length : Math.ceil((region.clientHeight || 600) / height) + 2 * margin;
    const latest = Math.max(0, order.length - rows);
    const from = all ? 0 : Math.min(latest, Math.max(0, Math.floor(region.scrollTop / height) - margin));
    if (!force && Math.abs(from - first) < margin / 2 && from !== 0 && from !== latest) return;
    if (!force && from === first) return;
    first = from;
    const to = Math.min(order.length, from + rows);
    const focused = body.contains(document.activeElement);
    const space = (lines) => {
      const cell = el("td", { colspan: String(names.length) });
      const row = el("tr", { class: "space", "aria-hidden": "true" }, cell);
      cell.style.height = row.style.height = `${lines * height}px`;
      return row;
    };
    const made = [space(from)];
    for (let position = from; position < to; position += 1) made.push(makeRow(position));
    made.push(space(order.length - to));
    const image = focused ? document.activeElement.dataset.image : "";
    body.replaceChildren(...made);
    if (focused) (body.querySelector(`[data-image="${image}"]`) || region).focus({ preventScroll: true });
  };

  const arrange = () => {
    const values = raw(state.metric, state.seed);
    const base = values[state.relative];
    columns = base ? values.map((column) => column.map((value, image) => value - base[image])) : values;
    const wanted = state.filter.trim().toLowerCase();
    const fits = set.sceneNames.map((scene) => scene.toLowerCase().includes(wanted));
    order = [];
    for (let image = 0; image < count; image += 1) {
      if (!wanted || fits[set.scenes[image]] || set.images[image].toLowerCase().includes(wanted)) order.push(image);
    }
    if (state.sorted >= 0) {
      const value = state.sorted === 0 ? (image) => set.images[image]
        : state.sorted === 1 ? (image) => set.sceneNames[set.scenes[image]]
          : (image) => columns[state.sorted - 2][image];
      order.sort(byValue(value, state.descending));
    }
    headers.forEach((header, column) => {
      if (column === state.sorted) header.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
    const means = columns.map((column) => order.reduce((sum, image) => sum + column[image], 0) / order.length);
    foot.replaceChildren(el("th", { scope: "row" }, "mean"),
      el("td", {}, order.length < count ? "of those shown" : "of all"),
      ...means.map((mean) => el("td", { class: "numeric" }, text(order.length ? mean : NaN))));
    shown.textContent = `${order.length} of ${count} images`;
    region.scrollTop = 0;
    draw(true);
  };
  metricChoice.addEventListener("change", () => { state.metric = Number(metricChoice.value); arrange(); });
  seedChoice.addEventListener("change", () => { state.seed = seedChoice.value; arrange(); });
  relativeChoice.addEventListener("change", () => { state.relative = Number(relativeChoice.value); arrange(); });
  field.addEventListener("input", () => { state.filter = field.value; arrange(); });
  let waiting = false;
  region.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }, { passive: true });
  region.addEventListener("click", (event) => {
    const button = event.target.closest("button.image");
    const row = event.target.closest("tbody tr");
    const found = button || row?.querySelector("button.image");
    if (found) view.show(Number(found.dataset.image));
  });
  addEventListener("beforeprint", () => draw(true, order.length <= 200));
  addEventListener("afterprint", () => draw(true));
  arrange();
};
