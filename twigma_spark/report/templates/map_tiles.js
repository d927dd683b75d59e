"use strict";
// The counts of the map as what is drawn: an image of all cells, or dots. Knows nothing of the page.
const mapTiles = (() => {
  const DOTS = 6000; // cells in view that are drawn as dots; more are drawn as one image

  // The counts of a layer: varints (LEB128) in Base64.
  function varints(text) {
    const bytes = atob(text);
    const found = [];
    for (let i = 0, value = 0, scale = 1; i < bytes.length; i += 1) {
      const byte = bytes.charCodeAt(i);
      value += (byte & 127) * scale;
      scale *= 128;
      if (byte < 128) { found.push(value); value = 0; scale = 1; }
    }
    return found;
  }

  function decode(group) {
    if (!group.at) {
      let cell = 0;
      group.at = Uint32Array.from(varints(group.cells), (step) => (cell += step));
      group.n = Uint32Array.from(varints(group.counts));
      group.rgb = [1, 3, 5].map((i) => parseInt(group.colour.slice(i, i + 2), 16));
    }
    return group;
  }

  // What is drawn of a layer: cells that are not empty, each with images, colour and opacity, and one image of them all.
  // Made once for a layer and a choice of its groups; moving and zooming only place it.
  function make({ side, groups }, isShown) {
    const [total, red, green, blue] = [0, 1, 2, 3].map(() => new Float32Array(side * side));
    groups.forEach((group, place) => {
      if (!isShown(place)) return;
      const { at, n, rgb } = decode(group);
      for (let i = 0; i < at.length; i += 1) {
        total[at[i]] += n[i];
        red[at[i]] += n[i] * rgb[0];
        green[at[i]] += n[i] * rgb[1];
        blue[at[i]] += n[i] * rgb[2];
      }
    });
    const cells = [];
    for (let cell = 0; cell < total.length; cell += 1) if (total[cell]) cells.push(cell);
    const ordered = Float32Array.from(cells, (cell) => total[cell]).sort();
    const full = Math.log1p(ordered[Math.floor(0.99 * (ordered.length - 1))] || 1);
    const image = new ImageData(side, side);
    const strength = new Float32Array(side * side);
    for (const cell of cells) {
      const pixel = 4 * ((side - 1 - Math.floor(cell / side)) * side + (cell % side));
      strength[cell] = Math.min(1, Math.log1p(total[cell]) / full);
      [red, green, blue].forEach((part, i) => { image.data[pixel + i] = part[cell] / total[cell]; });
      image.data[pixel + 3] = 255 * (0.3 + 0.7 * strength[cell]);
    }
    const drawn = document.createElement("canvas");
    drawn.width = drawn.height = side;
    drawn.getContext("2d").putImageData(image, 0, 0);
    return { side, cells, total, strength, image, drawn };
  }

  // The part of the square in which there are images fills the canvas.
  function bounds({ side, groups }) {
    const ends = { left: side, right: 0, below: side, above: 0 };
    for (const { at } of groups.map(decode)) {
      for (const cell of at) {
        const [row, column] = [Math.floor(cell / side), cell % side];
        ends.left = Math.min(ends.left, column);
        ends.right = Math.max(ends.right, column + 1);
        ends.below = Math.min(ends.below, row);
        ends.above = Math.max(ends.above, row + 1);
      }
    }
    return Object.fromEntries(Object.entries(ends).map(([name, place]) => [name, place / side]));
  }
  function inView({ cells, side }, size, step, left, top) {
    const found = [];
    for (const cell of cells) {
      const x = left + (cell % side + 0.5) * step;
      const y = top + (side - Math.floor(cell / side) - 0.5) * step;
      if (x > -step && y > -step && x < size.width + step && y < size.height + step) found.push(cell);
      if (found.length > DOTS) return null;
    }
    return found;
  }

  function drawDots(brush, tiles, cells, size, step, left, top) {
    const { side, strength, image } = tiles;
    // Few dots on a large map are larger.
    const smallest = 1.6 + 2 * Math.max(0, 1 - tiles.cells.length / DOTS) * Math.min(1, size.width / 760);
    for (const cell of cells) {
      const pixel = 4 * ((side - 1 - Math.floor(cell / side)) * side + (cell % side));
      const [red, green, blue, alpha] = image.data.subarray(pixel, pixel + 4);
      brush.fillStyle = `rgba(${red},${green},${blue},${0.25 + (0.75 * alpha) / 255})`;
      brush.beginPath();
      const radius = Math.max(smallest, 0.48 * step * (0.4 + 0.6 * strength[cell]));
      brush.arc(left + (cell % side + 0.5) * step, top + (side - Math.floor(cell / side) - 0.5) * step, radius, 0, 2 * Math.PI);
      brush.fill();
    }
  }

  return { make, bounds, inView, drawDots };
})();
