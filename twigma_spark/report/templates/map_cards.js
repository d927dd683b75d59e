"use strict";
// Elements of the map's page: a picture with what is said of it, buttons. All text from outside is set as text.
const mapCards = (() => {
  const counted = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

  // A picture with what is said of it; one that is hidden or cannot be drawn is words.
  function card({ src, text, corpus, why }, note) {
    const figure = document.createElement("figure");
    if (src) {
      const image = figure.appendChild(document.createElement("img"));
      image.src = src;
      image.alt = text || `picture of ${corpus} without a caption`;
    } else {
      const box = figure.appendChild(document.createElement("div"));
      box.className = "tile none";
      box.textContent = why;
    }
    const caption = figure.appendChild(document.createElement("figcaption"));
    const head = caption.appendChild(document.createElement("b"));
    head.textContent = note ? `${corpus} · ${note}` : corpus;
    if (text) caption.append(document.createElement("br"), text);
    return figure;
  }

  function button(text, pressed, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "plain";
    made.textContent = text;
    made.setAttribute("aria-pressed", String(pressed));
    made.addEventListener("click", act);
    return made;
  }

  return { counted, card, button };
})();
