// The dialog of a cell.
const dialog = document.getElementById("cell");
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

const link = (source) => (Object.hasOwn(page.links, source) ? el("a", { href: page.links[source] }, source) : source);
const showCell = (meta, line, column, shownText) => {
  const [value, low, high, mark, reason, address, indices] = meta.cells[line][column];
  const sources = indices.map((index) => page.sources[index]);
  const head = el("header", {},
    el("h2", { id: "cell-title" }, `${meta.lines[line]} · ${meta.columns[column]}`, el("span", {}, meta.title)),
    el("button", { type: "button", class: "button", click: () => dialog.close() }, "Close"));
  const known = [];
  const digits = (stored, count) => String(Number(number(stored).toPrecision(count))).replace("Infinity", "∞");
  if (value !== null) known.push(["value", digits(value, 8)]);
  if (low !== null && high !== null) known.push(["95 % interval", `${digits(low, 6)} to ${digits(high, 6)}`]);
  if (mark) known.push(["mark", `${mark}: ${page.marks[mark] || "the table's caption says what it means"}`]);
  if (reason) known.push(["reason", reason]);
  if (sources.length) {
    const list = el("span", {});
    sources.forEach((source, index) => list.append(...(index ? [el("br")] : []), link(source)));
    known.push(["sources", list]);
  }
  const rebuild = unique(sources.flatMap((source) => page.commands[source] || []));
  dialog.replaceChildren(head, el("p", { class: "value" }, shownText), facts(known));
  if (rebuild.length) dialog.append(el("h3", {}, "Rebuild what it is made of"), commands(rebuild));
  if (address) dialog.append(el("h3", {}, "How it was computed"), commands([address]));
  dialog.showModal();
  dialog.scrollTop = 0;
};

/** The interval in lighter type, and the mark outside of the column, so that digits stay aligned. */
const typeset = (cell, mark) => {
  let text = cell.textContent;
  const hanging = mark && text.endsWith(mark) ? [el("span", { class: "mark" }, ` ${mark}`)] : [];
  if (hanging.length) text = text.slice(0, -mark.length).trimEnd();
  const at = text.search(/ ± | \[/);
  if (at < 0 && !hanging.length) return;
  const half = at < 0 ? [] : [el("span", { class: "half" }, text.slice(at))];
  cell.replaceChildren(at < 0 ? text : text.slice(0, at), ...half, ...hanging);
};

// Tables: sorting, a filter, and cells that open the dialog.
const enhanceTable = (holder) => {
  const meta = page.tables[holder.dataset.table];
  const table = holder.querySelector("table");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const rows = [...body.rows];
  const place = new Map(rows.map((row, index) => [row, index]));
  const texts = rows.map((row) => row.textContent.toLowerCase());
  let sorted = -1;
  let descending = false;
  const sort = (column) => {
    const numeric = meta.numeric[column];
    const first = numeric && meta.better[column] !== false;
    if (sorted !== column) [sorted, descending] = [column, first];
    else if (descending === first) descending = !first;
    else sorted = -1;
    const value = (index) => {
      const found = meta.cells[index][sorted][0];
      return numeric ? number(found) : rows[index].cells[sorted].textContent;
    };
    const order = rows.map((_, index) => index);
    if (sorted >= 0) order.sort(byValue(value, descending));
    body.append(...order.map((index) => rows[index]));
    headers.forEach((header, index) => {
      if (index === sorted) header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
    say(sorted < 0 ? "In the original order" : `Sorted by ${meta.columns[sorted]}, ${descending ? "descending" : "ascending"}`);
  };
  headers.forEach((header, column) => {
    sortButton(header, header.textContent.replace(/ (?=[↑↓]$)/, "\u00a0"), () => sort(column));
  });

  const tools = holder.querySelector(".tools");
  const region = holder.querySelector(".region");
  const tooWide = () => region.scrollWidth > region.clientWidth;
  let withoutCost = () => {};
  if (meta.cost) {
    const first = meta.columns.length - meta.cost;
    const shown = {
      "quality and cost": () => true,
      quality: (column) => column < first,
      [`${meta.columns[1].replace(/ \(.*/, "")} and cost`]: (column) => column < 2 || column >= first,
    };
    const choice = el("select", {}, ...Object.keys(shown).map((name) => option(name, name)));
    const choose = () => {
      [...table.rows].forEach((row) => [...row.cells].forEach((cell, column) => {
        cell.hidden = !shown[choice.value](column);
      }));
      if (current.hidden) enter(current.parentElement.cells[0], false);
    };
    choice.addEventListener("change", choose);
    withoutCost = () => { choice.value = "quality"; choose(); };
    tools.append(labelled("Columns", choice));
  }
  if (rows.length > 5) {
    const count = el("span", { class: "count" });
    const field = el("input", { type: "search", placeholder: "method, value …", autocomplete: "off" });
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, index) => {
        const fits = texts[index].includes(wanted);
        row.classList.toggle("filtered", !fits);
        shown += fits;
      });
      const first = rows.find((row) => !row.classList.contains("filtered"));
      if (first && current.parentElement.classList.contains("filtered")) enter(first.cells[0], false);
      count.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
      if (wanted) say(count.textContent);
    });
    tools.append(labelled("Filter rows", field), count);
  }

  rows.forEach((row, line) => [...row.cells].forEach((cell, column) => {
    if (meta.numeric[column]) typeset(cell, meta.cells[line][column][3]);
  }));

  // One stop of the Tab key for all cells; arrow keys move between them.
  table.setAttribute("role", "grid");
  let current = null;
  const enter = (cell, focus) => {
    current?.setAttribute("tabindex", "-1");
    current = cell;
    cell.setAttribute("tabindex", "0");
    if (focus) cell.focus();
  };
  rows.forEach((row) => [...row.cells].forEach((cell) => {
    cell.setAttribute("aria-haspopup", "dialog");
    cell.setAttribute("tabindex", "-1");
  }));
  if (rows.length) enter(rows[0].cells[rows[0].cells.length > 1 ? 1 : 0], false);
  const open = (cell) => {
    const line = place.get(cell.parentElement);
    enter(cell, true);
    showCell(meta, line, cell.cellIndex, cell.textContent.trim());
  };
  body.addEventListener("click", (event) => {
    const cell = event.target.closest("td, th");
    if (cell && !event.target.closest("a") && String(getSelection()) === "") open(cell);
  });
  body.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td, th");
    if (!cell || event.target.closest("a") || event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = [...body.rows].filter((row) => !row.classList.contains("filtered"));
    const line = shown.indexOf(cell.parentElement);
    const cells = [...cell.parentElement.cells].filter((other) => !other.hidden);
    const at = cells.indexOf(cell);
    const beside = (place) => cells[Math.min(cells.length - 1, Math.max(0, place))];
    const below = (place) => shown[Math.min(shown.length - 1, Math.max(0, place))].cells[cell.cellIndex];
    const moves = {
      ArrowRight: () => beside(at + 1), ArrowLeft: () => beside(at - 1),
      Home: () => beside(0), End: () => beside(Infinity),
      ArrowDown: () => below(line + 1), ArrowUp: () => below(line - 1),
    };
    if (event.key === "Enter" || event.key === " ") open(cell);
    else if (moves[event.key]) enter(moves[event.key](), true);
    else return;
    event.preventDefault();
  });
  if (tooWide()) withoutCost();
  if (tooWide()) table.classList.add("tight");
};
