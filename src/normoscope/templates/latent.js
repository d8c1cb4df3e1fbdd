// Makes the still picture of the latent space one to move in. It asks nothing of any network.
(() => {
  "use strict";
  const root = document.getElementById("latent");
  const data = JSON.parse(document.getElementById("latent-data").textContent);
  const one = (selector) => root.querySelector(selector);
  const role = (name) => one(`[data-role="${name}"]`);
  const svg = one(".latent-plot"), stage = one(".latent-stage"), tip = one(".latent-tip");
  const ring = one(".latent-ring"), panel = one(".latent-panel"), live = one(".latent-live");
  const marks = [...svg.querySelectorAll(".latent-mark")], frames = [...svg.querySelectorAll(".latent-frame")];
  const canvases = [...panel.querySelectorAll("canvas")];
  const sheets = data.sheets.map((sheet) => Object.assign(new Image(), { src: sheet.uri }));
  const byScore = data.scores.map((_, i) => i).sort((a, b) => data.scores[b] - data.scores[a]);
  const swatch = role("legend").querySelector("svg");
  const state = { view: 0, zoom: 1, x: 0, y: 0, current: -1, open: -1 };
  const nameOf = (i) => (data.names ? data.names[i] : `image ${i + 1} of ${data.scores.length}`);
  const placed = (i) => {
    const [x, y] = data.views[state.view].at[i];
    return [state.zoom * x + state.x, state.zoom * y + state.y];
  };

  // --- drawing

  function draw() {
    // on a narrow screen marks stay large enough to hit
    const size = Math.max(1, Math.sqrt(data.width / (svg.clientWidth || data.width)));
    marks.forEach((mark, i) => mark.setAttribute("transform", `translate(${placed(i).join(" ")}) scale(${size})`));
    svg.style.setProperty("--zoom", state.zoom);
    svg.style.touchAction = state.zoom > 1 ? "none" : "pan-y";
    frames.forEach((frame, i) => {
      frame.setAttribute("visibility", i === state.view ? "visible" : "hidden");
      frame.setAttribute("transform", `translate(${state.x} ${state.y}) scale(${state.zoom})`);
    });
    const chosen = state.current >= 0 ? state.current : data.highlight;
    ring.setAttribute("visibility", chosen === null ? "hidden" : "visible");
    if (chosen !== null) ring.setAttribute("transform", `translate(${placed(chosen).join(" ")})`);
  }

  function show(view) {
    Object.assign(state, { view, zoom: 1, x: 0, y: 0 });
    const { note, axes, title } = data.views[view];
    role("note").textContent = note;
    role("x").textContent = axes[0];
    role("y").textContent = axes[1];
    svg.setAttribute("aria-label", `Scatter plot of ${marks.length} images: ${title}`);
    hideTip();
    draw();
  }

  function paint(choice) {
    const score = choice === "score", column = data.columns[score ? 0 : Number(choice)];
    const { low, high, colours } = data.ramp;
    svg.classList.toggle("by-score", score);
    const shade = (value) => {
      const share = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
      return colours[Math.round(share * (colours.length - 1))];
    };
    marks.forEach((mark, i) => {
      mark.setAttribute("d", data.marks[column.of[i]]);
      mark.setAttribute("fill", score ? shade(data.scores[i]) : column.colours[column.of[i]]);
    });
    const entries = column.values.map((value, place) => {
      const entry = document.createElement("li"), icon = swatch.cloneNode(true), text = document.createElement("span");
      icon.firstElementChild.setAttribute("d", data.marks[place]);
      icon.firstElementChild.setAttribute("fill", score ? "#fff" : column.colours[place]);
      text.textContent = `${value} (${column.of.filter((at) => at === place).length})`;
      entry.append(icon, text);
      return entry;
    });
    if (score) {
      const entry = document.createElement("li"), bar = document.createElement("i");
      bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
      entry.append(`score ≤ ${Number(low.toPrecision(3))}`, bar, `≥ ${Number(high.toPrecision(3))}`);
      entries.push(entry);
    }
    role("legend").replaceChildren(...entries);
  }

  // --- one image

  function picture(canvas, number, i) {
    const { width, height, across, count } = data.sheets[number], tile = Math.min(i, count - 1);
    const left = (tile % across) * width, top = Math.floor(tile / across) * height;
    canvas.getContext("2d").drawImage(sheets[number], left, top, width, height, 0, 0, width, height);
  }

  function point(i) {
    state.current = i;
    const [x, y] = placed(i), scale = svg.clientWidth / data.width;
    const words = document.createElement("p"), strong = document.createElement("strong");
    strong.textContent = nameOf(i);
    words.append(strong, document.createElement("br"), data.facts[i].map((fact) => fact.join(" ")).join(" · "));
    tip.replaceChildren(words);
    if (sheets.length) {
      const { width, height } = data.sheets[0];
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      picture(canvas, 0, i);
      tip.prepend(canvas);
    }
    tip.hidden = false;
    const right = stage.clientWidth - tip.offsetWidth - 4, below = y * scale + 14;
    tip.style.left = `${Math.max(4, Math.min(x * scale + 14, right))}px`;
    tip.style.top = `${below + tip.offsetHeight > stage.clientHeight ? y * scale - tip.offsetHeight - 14 : below}px`;
    draw();
  }

  function hideTip() {
    tip.hidden = true;
    state.current = state.open;
    draw();
  }

  function open(i) {
    state.open = state.current = i;
    panel.hidden = false;
    tip.hidden = true;
    role("name").textContent = nameOf(i);
    canvases.forEach((canvas, number) => picture(canvas, number, i));
    role("facts").replaceChildren(...data.facts[i].flatMap(([key, value]) => {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = key;
      text.textContent = value;
      return [term, text];
    }));
    draw();
  }

  function close() {
    state.open = -1;
    panel.hidden = true;
    hideTip();
  }

  // --- moving

  const middle = [data.width / 2, data.height / 2];
  const inPlot = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [at.x, at.y];
  };

  function zoom(factor, [x, y] = middle) {
    const after = Math.min(60, Math.max(1, state.zoom * factor)), ratio = after / state.zoom;
    Object.assign(state, { zoom: after, x: x - ratio * (x - state.x), y: y - ratio * (y - state.y) });
    if (after === 1) Object.assign(state, { x: 0, y: 0 });
    hideTip();
  }

  function walk(step) {
    const from = byScore.indexOf(state.current), last = byScore.length - 1;
    const i = byScore[Math.min(last, Math.max(0, from + step))];
    const [x, y] = placed(i), seen = x > 0 && y > 0 && x < data.width && y < data.height;
    if (!seen) Object.assign(state, { x: state.x + middle[0] - x, y: state.y + middle[1] - y });
    if (state.open >= 0) open(i);
    point(i);
    live.textContent = `${nameOf(i)}: ${data.facts[i].map((fact) => fact.join(" ")).join(", ")}`;
  }

  let drag = null;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button === 0) drag = { from: inPlot(event), x: state.x, y: state.y, moved: false };
  });
  svg.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const at = inPlot(event), by = [at[0] - drag.from[0], at[1] - drag.from[1]];
    if (!drag.moved && Math.hypot(...by) < 4) return;
    if (!drag.moved) svg.setPointerCapture(event.pointerId);
    drag.moved = true;
    Object.assign(state, { x: drag.x + by[0], y: drag.y + by[1] });
    hideTip();
  });
  svg.addEventListener("pointerup", () => setTimeout(() => (drag = null)));
  svg.addEventListener("pointercancel", () => (drag = null));
  svg.addEventListener("wheel", (event) => {
    const leaves = state.zoom === 1 && event.deltaY > 0;
    if (leaves || !(event.ctrlKey || document.activeElement === svg)) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), inPlot(event));
  }, { passive: false });
  marks.forEach((mark, i) => {
    mark.addEventListener("pointerenter", () => drag?.moved || point(i));
    mark.addEventListener("pointerleave", hideTip);
    mark.addEventListener("click", () => drag?.moved || open(i));
  });
  svg.addEventListener("blur", hideTip);
  addEventListener("resize", hideTip);
  svg.addEventListener("keydown", (event) => {
    const keys = {
      ArrowRight: () => walk(1), ArrowDown: () => walk(1), ArrowLeft: () => walk(-1), ArrowUp: () => walk(-1),
      Home: () => walk(-Infinity), End: () => walk(Infinity), Enter: () => state.current >= 0 && open(state.current),
      " ": () => state.current >= 0 && open(state.current), "+": () => zoom(1.5), "=": () => zoom(1.5),
      "-": () => zoom(1 / 1.5), 0: () => show(state.view),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && close());
  role("in").addEventListener("click", () => zoom(1.5));
  role("out").addEventListener("click", () => zoom(1 / 1.5));
  role("reset").addEventListener("click", () => show(state.view));
  role("close").addEventListener("click", () => (close(), svg.focus()));
  role("view").addEventListener("change", (event) => show(Number(event.target.value)));
  role("colour").addEventListener("change", (event) => paint(event.target.value));

  one(".latent-controls").hidden = role("hint").hidden = false;
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application");
  paint(role("colour").value);
  show(Number(role("view").value));
})();
