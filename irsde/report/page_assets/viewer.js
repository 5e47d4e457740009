// Comparison of images: every pane shows the same region at the same magnification.
const source = (index) => {
  const picture = page.pictures[index];
  if (picture.link) return picture.link;
  return `data:${picture.type};base64,${document.getElementById(`picture-${index}`).textContent}`;
};
const makeViewer = (holder, set) => {
  const { images, sizes, variants } = set.viewer;
  if (!images.length) {
    holder.querySelector(".tools").replaceWith(el("p", { class: "note" }, "No restored images were kept."));
    return { show: () => {} };
  }
  const firsts = variants.map((variant, index) => index)
    .filter((index) => variants[index].row === null || variants[index].row === 0);
  const find = (key, otherwise) => {
    const index = variants.findIndex((variant) => variant.key === key);
    return index < 0 ? otherwise : index;
  };
  const state = {
    image: 0, left: find("degraded", 0), right: find("truth", variants.length - 1),
    mode: "slider", divider: 0.5, zoom: 1, x: 0.5, y: 0.5, allSeeds: false, gain: 4,
  };
  const restored = firsts.filter((index) => variants[index].row !== null);
  if (restored.length) state.right = restored[restored.length - 1];

  const choose = (name, key) => {
    const select = el("select", {}, ...variants.map((variant, index) => option(index, variant.label, index === state[key])));
    select.addEventListener("change", () => { state[key] = Number(select.value); fill(); });
    return labelled(name, select);
  };
  const imageChoice = el("select", {}, ...images.map((image, index) => option(index, set.images[image])));
  imageChoice.addEventListener("change", () => { state.image = Number(imageChoice.value); fill(); });
  const step = (by) => {
    state.image = (state.image + by + images.length) % images.length;
    imageChoice.value = String(state.image);
    fill();
  };
  const button = (text, label, click) => el("button", { type: "button", class: "button", "aria-label": label, click }, text);
  const modes = [["slider", "Slider"], ["difference", "Difference"], ["grid", "All methods"]].map(([mode, label]) => {
    const made = el("button", { type: "button", class: "button", "aria-pressed": String(mode === state.mode) }, label);
    made.addEventListener("click", () => { state.mode = mode; layOut(); });
    return [mode, made];
  });
  const gainChoice = el("select", {}, ...[1, 4, 16].map((gain) => option(gain, `× ${gain}`, gain === state.gain)));
  gainChoice.addEventListener("change", () => { state.gain = Number(gainChoice.value); layOut(); });
  const gain = labelled("Difference", gainChoice);
  const everySeed = el("input", { type: "checkbox" });
  everySeed.addEventListener("change", () => { state.allSeeds = everySeed.checked; layOut(); });
  const seeds = labelled("", everySeed, "check");
  seeds.append("every seed");
  const left = choose("Left", "left");
  const right = choose("Right", "right");
  const sides = el("span", { class: "pair" }, left, right);
  const percent = el("span", { class: "count zoom", "aria-live": "off" });
  holder.querySelector(".tools").append(
    labelled("Image", imageChoice),
    el("span", { class: "group" }, button("‹", "Previous image", () => step(-1)), button("›", "Next image", () => step(1))),
    el("span", { class: "group", role: "group", "aria-label": "View" }, ...modes.map(([, made]) => made)),
    sides, gain, seeds,
    el("span", { class: "group", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out", () => zoomBy(1 / 1.5)), button("+", "Zoom in", () => zoomBy(1.5)),
      button("Fit", "Fit the image", () => fit())),
    percent);
  const place = holder.querySelector(".place");
  let panes = [];

  const size = () => sizes[state.image];
  const fitScale = (pane) => Math.min(pane.clientWidth / size()[0], pane.clientHeight / size()[1]);
  const limit = () => {
    const [width, height] = size();
    const pane = panes[0].stage;
    const scale = fitScale(pane) * state.zoom;
    const half = (total, length) => Math.min(0.5, length / (2 * total * scale));
    const keep = (value, reach) => Math.min(1 - reach, Math.max(reach, value));
    state.x = keep(state.x, half(width, pane.clientWidth));
    state.y = keep(state.y, half(height, pane.clientHeight));
  };
  const apply = () => {
    if (!panes[0].stage.clientWidth || !panes[0].stage.clientHeight) return;
    limit();
    const [width, height] = size();
    panes.forEach(({ stage, pictures, cut, tags }) => {
      const scale = fitScale(stage) * state.zoom;
      const x = stage.clientWidth / 2 - state.x * width * scale;
      const y = stage.clientHeight / 2 - state.y * height * scale;
      pictures.forEach((picture) => {
        picture.style.width = `${width}px`;
        picture.style.height = `${height}px`;
        picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
        picture.classList.toggle("pixelated", scale > 1 || picture.naturalWidth < width);
      });
      stage.classList.toggle("zoomed", state.zoom > 1.001);
      if (cut) {
        const at = `${state.divider * 100}%`;
        cut.layer.style.clipPath = `inset(0 0 0 ${at})`;
        cut.divider.style.left = at;
        cut.divider.setAttribute("aria-valuenow", String(Math.round(state.divider * 100)));
        cut.divider.setAttribute("aria-valuetext",
          `${Math.round(state.divider * 100)} % ${variants[state.left].label}, rest ${variants[state.right].label}`);
        tags[0].hidden = state.divider < 0.1;
        tags[1].hidden = state.divider > 0.9;
      }
    });
    percent.textContent = `${Math.round(fitScale(panes[0].stage) * state.zoom * 100)} %`;
  };
  const zoomBy = (factor, stage = panes[0].stage, at = null) => {
    const [width, height] = size();
    const most = Math.max(4, 40 / fitScale(stage));
    const before = fitScale(stage) * state.zoom;
    state.zoom = Math.min(most, Math.max(1, state.zoom * factor));
    const after = fitScale(stage) * state.zoom;
    if (at) {
      state.x += (at[0] - stage.clientWidth / 2) * (1 / before - 1 / after) / width;
      state.y += (at[1] - stage.clientHeight / 2) * (1 / before - 1 / after) / height;
    }
    apply();
  };
  const panBy = (stage, dx, dy) => {
    const scale = fitScale(stage) * state.zoom;
    state.x -= dx / (size()[0] * scale);
    state.y -= dy / (size()[1] * scale);
    apply();
  };
  const fit = () => {
    [state.zoom, state.x, state.y] = [1, 0.5, 0.5];
    apply();
  };

  const score = (variant) => {
    if (variant.method === null) return "";
    const { values } = set.methods[variant.method].rows[variant.row];
    return set.metrics.slice(0, 2).map((metric) => {
      const value = values[metric.name][images[state.image]];
      const shown = value === null ? missing : value === "inf" ? "∞" : value.toFixed(metric.decimals);
      return `${metric.label.replace(" (dB)", "")} ${shown}`;
    }).join(", ");
  };
  const put = (layer, picture, index) => {
    const place = variants[index].pictures[state.image];
    picture.alt = `${set.images[images[state.image]]}, ${variants[index].label}`;
    if (picture.dataset.place === String(place)) return;
    picture.dataset.place = String(place);
    layer.classList.toggle("absent", place === null);
    layer.classList.remove("gone");
    picture.hidden = place === null;
    if (place === null) picture.removeAttribute("src");
    else picture.src = source(place);
  };

  const listen = (stage) => {
    const pointers = new Map();
    const local = (event) => {
      const box = stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    stage.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || event.target.closest(".divider")) return;
      stage.focus({ preventScroll: true });
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, local(event));
      stage.classList.add("dragging");
    });
    stage.addEventListener("pointermove", (event) => {
      const was = pointers.get(event.pointerId);
      if (!was) return;
      const now = local(event);
      if (pointers.size === 1) panBy(stage, now[0] - was[0], now[1] - was[1]);
      else {
        const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
        const apart = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
        panBy(stage, (now[0] - was[0]) / 2, (now[1] - was[1]) / 2);
        zoomBy(apart(now) / apart(was), stage, [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      }
      pointers.set(event.pointerId, now);
    });
    const end = (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) stage.classList.remove("dragging");
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
    stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !stage.contains(document.activeElement)) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), stage, local(event));
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => zoomBy(2, stage, local(event)));
    stage.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const far = 60;
      const keys = {
        "+": () => zoomBy(1.5, stage), "=": () => zoomBy(1.5, stage), "-": () => zoomBy(1 / 1.5, stage), 0: fit,
        "[": () => step(-1), "]": () => step(1),
        ArrowLeft: () => panBy(stage, far, 0), ArrowRight: () => panBy(stage, -far, 0),
        ArrowUp: () => panBy(stage, 0, far), ArrowDown: () => panBy(stage, 0, -far),
      };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  };
  const makeStage = (label) => {
    const stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": label });
    listen(stage);
    return stage;
  };
  const picture = () => el("img", {
    decoding: "async", draggable: "false", alt: "", load: () => apply(),
    error: ({ target }) => { target.parentElement.classList.add("absent", "gone"); target.hidden = true; },
  });

  const moveDivider = (divider, stage) => {
    const moveTo = (value) => { state.divider = Math.min(1, Math.max(0, value)); apply(); };
    divider.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      divider.setPointerCapture(event.pointerId);
      divider.focus({ preventScroll: true });
      event.preventDefault();
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const box = stage.getBoundingClientRect();
      moveTo((event.clientX - box.left) / box.width);
    });
    divider.addEventListener("keydown", (event) => {
      const by = event.shiftKey ? 0.1 : 0.01;
      const keys = {
        ArrowLeft: () => moveTo(state.divider - by), ArrowDown: () => moveTo(state.divider - by),
        ArrowRight: () => moveTo(state.divider + by), ArrowUp: () => moveTo(state.divider + by),
        PageDown: () => moveTo(state.divider - 0.1), PageUp: () => moveTo(state.divider + 0.1),
        Home: () => moveTo(0), End: () => moveTo(1),
      };
      if (!keys[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });
  };

  const layOut = () => {
    modes.forEach(([mode, made]) => made.setAttribute("aria-pressed", String(mode === state.mode)));
    sides.hidden = state.mode === "grid";
    gain.hidden = state.mode !== "difference";
    seeds.hidden = state.mode !== "grid" || firsts.length === variants.length;
    if (state.mode === "grid") {
      const shown = state.allSeeds ? variants.map((_, index) => index) : firsts;
      const box = el("div", { class: "panes" });
      panes = shown.map((index) => {
        const image = picture();
        const layer = el("div", { class: "layer" }, image);
        const stage = makeStage(`${variants[index].label}: zoom and pan`);
        stage.append(layer);
        const values = el("span");
        box.append(el("figure", {}, stage, el("figcaption", {}, variants[index].label, values)));
        return { stage, pictures: [image], fill: () => { put(layer, image, index); values.textContent = score(variants[index]) || "\u00a0"; } };
      });
      place.replaceChildren(box);
    } else {
      const stage = makeStage("Comparison: zoom and pan");
      const pictures = [picture(), picture()];
      const layers = pictures.map((image) => el("div", { class: "layer" }, image));
      const stack = el("div", { class: "stack" }, ...layers);
      const tags = ["left", "right"].map((side) => el("span", { class: `tag ${side}` }));
      stage.append(stack, ...tags);
      stage.classList.toggle("difference", state.mode === "difference");
      if (state.mode === "difference") stack.classList.add(`times${state.gain}`);
      let cut = null;
      if (state.mode === "slider") {
        const divider = el("div", {
          class: "divider", role: "slider", tabindex: "0", "aria-label": "Divider between the left and the right image",
          "aria-orientation": "horizontal", "aria-valuemin": "0", "aria-valuemax": "100",
        });
        moveDivider(divider, stage);
        stage.append(divider);
        cut = { divider, layer: layers[1] };
      }
      const name = (index) => [variants[index].label, score(variants[index])].filter(Boolean).join(": ");
      panes = [{ stage, pictures, cut, tags, fill: () => {
        put(layers[0], pictures[0], state.left);
        put(layers[1], pictures[1], state.right);
        [state.left, state.right].forEach((index, side) => {
          tags[side].textContent = tags[side].title = name(index);
        });
      } }];
      place.replaceChildren(stage);
    }
    fill();
  };
  const shape = () => {
    const [width, height] = size();
    panes.forEach(({ stage }) => {
      const wide = stage.clientWidth;
      const tall = Math.min(wide * height / width, state.mode === "grid" ? wide * 1.6 : Math.max(260, innerHeight * 0.72));
      stage.style.height = `${Math.round(Math.max(tall, 80))}px`;
    });
    apply();
  };
  let near = false;
  const fill = () => {
    if (near) panes.forEach((pane) => pane.fill());
    shape();
  };
  new ResizeObserver(shape).observe(place);
  layOut();
  const watch = new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    near = true;
    watch.disconnect();
    fill();
  }, { rootMargin: "600px" });
  watch.observe(holder);

  return {
    show: (image) => {
      state.image = images.indexOf(image);
      imageChoice.value = String(state.image);
      near = true;
      fill();
      holder.scrollIntoView({ block: "start" });
      (panes[0].cut?.divider || panes[0].stage).focus({ preventScroll: true });
      say(`${set.images[image]} is shown in the comparison`);
    },
  };
};
