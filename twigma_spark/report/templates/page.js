"use strict";
(() => {
  // Colours of the charts follow the page's own; the figures come without any.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const scales = {
    light: [[0, "#f3efe8"], [0.25, "#f2d5b5"], [0.55, "#e5a673"], [0.8, "#cf7a3c"], [1, "#5d2310"]],
    dark: [[0, "#22262b"], [0.25, "#453024"], [0.55, "#7a4521"], [0.8, "#ad5c29"], [1, "#f3c08e"]],
  };
  const narrow = window.matchMedia("(max-width: 560px)");
  const LETTER = 7; // CSS pixels of a letter of the charts, about
  const axes = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));

  function themed(figure) {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const layout = structuredClone(figure.layout);
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
      margin: { l: 60, r: 28, t: 16, b: 48 },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--line"), font: { color: colour("--ink") }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", ...layout.legend },
      autosize: true,
    });
    for (const axis of axes(layout)) {
      layout[axis] = {
        automargin: true, gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"),
        tickfont: { color: colour("--quiet") }, fixedrange: true, ...layout[axis],
      };
      if (layout[axis].title) Object.assign(layout[axis].title, { standoff: 14, font: { size: 13, color: colour("--quiet") } });
    }
    raise(layout);
    const data = structuredClone(figure.data);
    for (const trace of data.filter((one) => one.type === "heatmap")) trace.colorscale = scales[dark.matches ? "dark" : "light"];
    for (const trace of data.filter((one) => Array.isArray(one.marker?.color))) {
      for (const bars of [trace.error_x, trace.error_y]) if (bars) bars.color ??= colour("--quiet");
    }
    return { data, layout };
  }

  const panels = (layout) => (layout.annotations ?? []).filter((one) => one.yanchor === "bottom");

  // Names of panels stand above them, and the legend above those.
  function raise(layout) {
    const lines = Math.max(0, ...panels(layout).map((one) => one.text.split("<br>").length));
    if (!lines) return;
    layout.margin.t = 12 + 18 * lines;
    layout.legend.y = 1 + layout.margin.t / (layout.height - layout.margin.t - layout.margin.b);
  }

  // Words in lines of some letters at most.
  function wrapped(text, most) {
    const lines = [""];
    for (const word of text.split(" ")) {
      if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push("");
      lines.push(`${lines.pop()} ${word}`.trim());
    }
    return lines.join("<br>");
  }

  // As many of the words before commas as there is room for.
  function shortened(text, room) {
    const words = text.split(", ");
    while (words.length && words.join(", ").length * LETTER > room) words.pop();
    return words.join(", ");
  }

  // On a phone: titles in lines, a legend above the chart and not in its place, texts as long as there is room.
  function fitted({ data, layout }, width) {
    for (const axis of axes(layout).filter((key) => key[0] === "x")) {
      if (layout[axis].title) layout[axis].title.text = wrapped(layout[axis].title.text, 20);
    }
    const named = data.filter((one) => one.name && one.showlegend !== false).length;
    if (named > 4 && layout.showlegend !== false) layout.height += 20 * named;
    for (const name of panels(layout)) name.text = wrapped(name.text, 12);
    raise(layout);
    for (const trace of data) {
      if (trace.type === "heatmap" && Array.isArray(trace.text)) {
        trace.text = trace.text.map((row) => row.map((cell) => String(cell).replace(" to ", "<br>to ")));
      }
      if (trace.type === "bar" && trace.orientation === "h" && trace.textposition === "auto") {
        const plot = width - 2 * layout.margin.l;
        const shares = trace.x.map((value) => value / Math.max(...trace.x));
        trace.textposition = shares.map((share) => (share > 0.5 ? "inside" : "outside"));
        trace.text = trace.text.map((text, i) => shortened(text, plot * Math.max(shares[i], 1 - shares[i])));
      }
    }
    return { data, layout };
  }

  function draw() {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const place = document.getElementById(source.dataset.figure);
      const figure = themed(JSON.parse(source.textContent));
      const { data, layout } = narrow.matches ? fitted(figure, place.clientWidth) : figure;
      Plotly.react(place, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    }
  }

  function veil(tile, hide) {
    let image = tile.querySelector("img");
    const from = hide ? tile.dataset.preview : tile.dataset.full;
    if (!image && from) tile.prepend((image = document.createElement("img")));
    if (image && from) image.src = from;
    if (image && !from) image.remove();
    if (image) image.alt = hide ? "" : tile.dataset.text;
    tile.classList.toggle("veiled", hide);
    tile.setAttribute("aria-pressed", String(!hide));
    tile.setAttribute("aria-label", hide ? `Hidden picture (${tile.dataset.why}): show` : `${tile.dataset.text || "Picture"} (${tile.dataset.why}): enlarge`);
    tile.title = hide ? "" : tile.dataset.text;
  }

  // A click shows a hidden picture; on one that is shown it opens the picture large, where it can be hidden again.
  const tiles = [...document.querySelectorAll("button.tile[data-why]")];
  const all = document.getElementById("unveil");
  const large = document.getElementById("large");
  const hide = large.querySelector("[data-hide]");
  const picture = document.createElement("img");
  large.prepend(picture);
  let opened = null;
  function open(tile) {
    opened = tile;
    const name = tile.closest(".shot")?.querySelector("figcaption a, figcaption span");
    picture.src = tile.querySelector("img").src;
    picture.alt = tile.dataset.text || "Picture";
    large.querySelector("p").replaceChildren(tile.dataset.text || "", " ", name ? name.cloneNode(true) : "");
    hide.hidden = !tile.dataset.why;
    large.showModal();
  }
  for (const tile of document.querySelectorAll("button.tile")) {
    tile.addEventListener("click", () => (tile.classList.contains("veiled") ? veil(tile, false) : open(tile)));
  }
  large.querySelector("[data-close]").addEventListener("click", () => large.close());
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
  hide.addEventListener("click", () => { veil(opened, true); large.close(); });
  all.hidden = tiles.length === 0;
  all.addEventListener("click", () => {
    const show = all.getAttribute("aria-pressed") === "false";
    for (const tile of tiles) veil(tile, !show);
    all.setAttribute("aria-pressed", String(show));
    all.textContent = show ? "Hide them again" : "Show hidden pictures";
  });

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      for (const [id, link] of links) link.setAttribute("aria-current", String(id === entry.target.id));
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);

  // A table that is wider than the page is moved with the arrows, too.
  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const moves = target.scrollWidth > target.clientWidth;
      for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "Table, moved with the arrow keys"]]) {
        if (moves) target.setAttribute(name, value);
        else target.removeAttribute(name);
      }
    }
  });
  for (const table of document.querySelectorAll(".wide")) wide.observe(table);

  for (const query of [dark, narrow]) query.addEventListener("change", draw);
  draw();
})();
