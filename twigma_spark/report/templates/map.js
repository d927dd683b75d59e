"use strict";
(() => {
  const { counted, card, button } = mapCards;
  const source = document.getElementById("map-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const root = document.getElementById("image-map");
  const [canvas, tip, legend, panel, spoken] = ["canvas", ".map-tip", ".map-legend", ".map-panel", ".map-spoken"].map((css) => root.querySelector(css));
  const brush = canvas.getContext("2d");
  const REACH = 60; // pixels from the pointer to a picture at most
  const SIDE = 58; // of a picture on the map, in pixels
  const CLOSEST = 40; // times that the map can be enlarged
  const view = { x: 0.5, y: 0.5, zoom: 1, layer: 0, chosen: new Set(), pictures: false };
  let size = { width: 1, height: 1, ratio: 1 };
  let pointed = null; // the picture under the pointer, or nearest to the middle for the keyboard
  let selected = null;
  let byKeys = false;

  // Made once for a layer and a choice of its groups; moving and zooming only place it.
  let tiles = null;
  const isShown = (place) => view.chosen.size === 0 || view.chosen.has(place);

  const ends = mapTiles.bounds(data.layers[0]); // the part of the square with images fills the canvas
  const middle = { x: (ends.left + ends.right) / 2, y: (ends.below + ends.above) / 2 };

  // From 0 to 1 on the map to pixels of the canvas, and back.
  function scale() {
    const room = Math.min(size.width / (ends.right - ends.left), size.height / (ends.above - ends.below));
    return 0.95 * room * view.zoom;
  }
  const toPixels = (x, y) => [size.width / 2 + (x - view.x) * scale(), size.height / 2 - (y - view.y) * scale()];
  const toMap = (left, top) => [view.x + (left - size.width / 2) / scale(), view.y - (top - size.height / 2) / scale()];

  let asked = 0;
  function redraw() {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; draw(); });
  }

  function draw() {
    const css = getComputedStyle(root);
    brush.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    brush.clearRect(0, 0, size.width, size.height);
    const step = scale() / tiles.side;
    const [left, top] = toPixels(0, 1);
    const seen = mapTiles.inView(tiles, size, step, left, top);
    if (seen) mapTiles.drawDots(brush, tiles, seen, size, step, left, top);
    else {
      brush.imageSmoothingEnabled = step < 1.5;
      brush.imageSmoothingQuality = "high";
      brush.drawImage(tiles.drawn, left, top, scale(), scale());
    }
    if (view.pictures) drawPictures();
    for (const picture of [selected, pointed]) {
      if (!picture) continue;
      const [x, y] = toPixels(picture.x, picture.y);
      brush.beginPath();
      brush.arc(x, y, 7, 0, 2 * Math.PI);
      brush.lineWidth = 2.5;
      brush.strokeStyle = css.getPropertyValue(picture === selected ? "--accent" : "--ink").trim();
      brush.stroke();
    }
    canvas.dataset.zoom = view.zoom.toFixed(2);
    canvas.dataset.drawn = seen ? "dots" : "image";
  }

  // Pictures that have room, those first that come first; one is loaded when it is drawn for the first time.
  function drawPictures() {
    const placed = [];
    for (const picture of data.pictures) {
      const { src } = data.shown[picture.shown];
      const [x, y] = toPixels(picture.x, picture.y);
      if (!src || !isOfChoice(picture) || x < 0 || y < 0 || x > size.width || y > size.height) continue;
      if (placed.some(([a, b]) => Math.abs(a - x) < SIDE + 4 && Math.abs(b - y) < SIDE + 4)) continue;
      placed.push([x, y]);
      if (!picture.image) {
        picture.image = new Image();
        picture.image.onload = redraw;
        picture.image.src = src;
      }
      const { naturalWidth: width, naturalHeight: height } = picture.image;
      if (!picture.image.complete || !width) continue;
      const shrunk = SIDE / Math.max(width, height);
      brush.drawImage(picture.image, x - (width * shrunk) / 2, y - (height * shrunk) / 2, width * shrunk, height * shrunk);
    }
  }

  const isOfChoice = (picture) => view.layer !== 0 || isShown(picture.group);

  function nearest(left, top, reach) {
    let found = null;
    let best = reach ** 2;
    for (const picture of data.pictures) {
      if (!isOfChoice(picture)) continue;
      const [x, y] = toPixels(picture.x, picture.y);
      const away = (x - left) ** 2 + (y - top) ** 2;
      if (away < best) [found, best] = [picture, away];
    }
    return found;
  }

  function imagesAt(x, y) {
    const [column, row] = [x, y].map((place) => Math.min(tiles.side - 1, Math.floor(place * tiles.side)));
    return tiles.total[row * tiles.side + column] || 0;
  }

  function point(picture, aloud) {
    if (picture === pointed) return place();
    pointed = picture;
    tip.hidden = !picture;
    if (picture) {
      const n = imagesAt(picture.x, picture.y);
      tip.replaceChildren(card(data.shown[picture.shown], counted(n, "image") + " here"));
      if (aloud) spoken.textContent = tip.textContent;
    }
    place();
    redraw();
  }

  // The picture stands beside its place, on the side with more room.
  function place() {
    if (!pointed) return;
    const [x, y] = toPixels(pointed.x, pointed.y);
    const right = x > size.width / 2;
    tip.style.left = right ? "auto" : `${Math.max(0, x + 16)}px`;
    tip.style.right = right ? `${Math.max(0, size.width - x + 16)}px` : "auto";
    tip.style.top = `${Math.max(4, Math.min(y - 30, size.height - tip.offsetHeight - 4))}px`;
  }

  function select(picture) {
    selected = picture;
    redraw();
    if (!picture) return panel.replaceChildren();
    const title = document.createElement("h3");
    title.textContent = picture.near.length ? "Its nearest neighbours" : "No neighbours are known";
    const near = document.createElement("div");
    near.className = "map-near";
    near.append(...picture.near.map(([shown, similarity]) => card(data.shown[shown], similarity.toFixed(3))));
    panel.replaceChildren(card(data.shown[picture.shown]), title, near);
  }

  function changeView(x, y, zoom) {
    view.zoom = Math.max(1, Math.min(CLOSEST, zoom));
    const room = view.zoom === 1 ? 0 : 0.5;
    view.x = Math.max(middle.x - room, Math.min(middle.x + room, x));
    view.y = Math.max(middle.y - room, Math.min(middle.y + room, y));
    if (byKeys) point(nearest(size.width / 2, size.height / 2, Infinity), true);
    else place();
    redraw();
  }

  // The place under the pointer stays there.
  function zoomAt(left, top, factor) {
    const [x, y] = toMap(left, top);
    const zoom = Math.max(1, Math.min(CLOSEST, view.zoom * factor));
    changeView(x + ((view.x - x) * view.zoom) / zoom, y + ((view.y - y) * view.zoom) / zoom, zoom);
  }
  const zoomBy = (factor) => changeView(view.x, view.y, view.zoom * factor);
  const reset = () => changeView(middle.x, middle.y, 1);

  const held = new Map();
  let moved = 0;
  const at = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
    if (held.size === 1) moved = 0;
    byKeys = false;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [left, top] = at(event);
    if (!held.has(event.pointerId)) {
      byKeys = false;
      return point(nearest(left, top, REACH));
    }
    const [was, other] = [held.get(event.pointerId), [...held].find(([id]) => id !== event.pointerId)?.[1]];
    held.set(event.pointerId, [left, top]);
    moved += Math.abs(left - was[0]) + Math.abs(top - was[1]);
    const share = other ? 2 : 1; // two fingers move the map by their mean
    changeView(view.x - (left - was[0]) / scale() / share, view.y + (top - was[1]) / scale() / share, view.zoom);
    if (other) {
      const [before, now] = [was, [left, top]].map(([a, b]) => Math.hypot(a - other[0], b - other[1]));
      zoomAt((left + other[0]) / 2, (top + other[1]) / 2, now / Math.max(1, before));
    }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => held.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => { if (!byKeys) point(null); });
  canvas.addEventListener("click", (event) => {
    if (moved > 6) return;
    const found = nearest(...at(event), REACH);
    point(found);
    select(found);
  });
  // The wheel scrolls the page until the map has been clicked.
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomAt(...at(event), Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 200));
  }, { passive: false });

  const by = (x, y) => () => changeView(view.x + (0.15 * x * size.width) / scale(), view.y + (0.15 * y * size.height) / scale(), view.zoom);
  const keys = {
    ArrowLeft: by(-1, 0), ArrowRight: by(1, 0), ArrowUp: by(0, 1), ArrowDown: by(0, -1),
    "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: reset, Home: reset,
    Enter: () => select(pointed), " ": () => select(pointed), Escape: () => { select(null); byKeys = false; point(null); },
  };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    byKeys = true;
    keys[event.key]();
  });
  canvas.addEventListener("focus", () => {
    if (!canvas.matches(":focus-visible") || held.size) return;
    byKeys = true;
    point(nearest(size.width / 2, size.height / 2, Infinity), true);
  });
  canvas.addEventListener("blur", () => { if (byKeys) point(null); byKeys = false; });

  function showLayers() {
    const place = root.querySelector(".map-layers");
    place.replaceChildren("Colour by ", ...data.layers.map(({ name }, number) => button(name, number === view.layer, () => {
      view.layer = number;
      view.chosen.clear();
      showLayers();
      place.querySelectorAll("button")[number].focus();
    })));
    showLegend();
  }

  // A group of the legend shows its images alone, or adds them to those of others.
  function showLegend() {
    tiles = mapTiles.make(data.layers[view.layer], isShown);
    legend.replaceChildren(...data.layers[view.layer].groups.map((group, number) => {
      const made = button("", view.chosen.has(number), () => {
        if (!view.chosen.delete(number)) view.chosen.add(number);
        showLegend();
        legend.querySelectorAll("button")[number].focus();
      });
      const chip = document.createElement("span");
      chip.className = "chip";
      chip.style.background = group.colour;
      const n = document.createElement("span");
      n.className = "quiet";
      n.textContent = group.images.toLocaleString("en");
      made.replaceChildren(chip, document.createTextNode(group.name), n);
      return made;
    }));
    point(null);
    redraw();
  }

  for (const [name, act] of Object.entries({ in: () => zoomBy(1.5), out: () => zoomBy(1 / 1.5), whole: reset })) {
    root.querySelector(`[data-zoom=${name}]`).addEventListener("click", act);
  }
  const toggle = root.querySelector("[data-pictures]");
  toggle.hidden = !data.pictures.length;
  toggle.addEventListener("click", () => {
    view.pictures = !view.pictures;
    toggle.setAttribute("aria-pressed", String(view.pictures));
    redraw();
  });

  new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = canvas;
    size = { width, height, ratio: Math.min(2, window.devicePixelRatio || 1) };
    canvas.width = Math.round(width * size.ratio);
    canvas.height = Math.round(height * size.ratio);
    draw();
  }).observe(canvas);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  reset();
  showLayers();
})();
