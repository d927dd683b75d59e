"use strict";
(() => {
  // Colours of the charts follow the page's own; the figures come without any.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const scales = {
    light: [[0, "#f3efe8"], [0.25, "#f2d5b5"], [0.55, "#e5a673"], [0.8, "#cf7a3c"], [1, "#5d2310"]],
    dark: [[0, "#22262b"], [0.25, "#453024"], [0.55, "#7a4521"], [0.8, "#ad5c29"], [1, "#f3c08e"]],
  };
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
    const data = structuredClone(figure.data);
    for (const trace of data.filter((one) => one.type === "heatmap")) trace.colorscale = scales[dark.matches ? "dark" : "light"];
    return { data, layout };
  }

  function draw() {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const { data, layout } = themed(JSON.parse(source.textContent));
      Plotly.react(source.dataset.figure, data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
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

  dark.addEventListener("change", draw);
  draw();
})();
