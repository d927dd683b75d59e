"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card")];
  const annotator = document.getElementById("annotator");
  const state = document.getElementById("state");
  const key = "twigma-annotation-" + cards.map((card) => card.dataset.item).join("").slice(0, 60);

  function answers() {
    return cards.map((card) => ({
      item: card.dataset.item,
      keywords: [...card.querySelectorAll(".keyword")].map((box) => box.value.trim()),
      group: card.querySelector(".group").value.trim(),
    }));
  }

  function whole() {
    return { format: 1, annotator: annotator.value.trim(), answers: answers() };
  }

  function changed() {
    const groups = new Set(answers().map((answer) => answer.group).filter(Boolean));
    document.getElementById("groups").replaceChildren(
      ...[...groups].sort().map((name) => Object.assign(document.createElement("option"), { value: name })),
    );
    const done = answers().filter((answer) => answer.group).length;
    state.textContent = `${done} of ${cards.length} pictures grouped, ${groups.size} groups`;
    try { localStorage.setItem(key, JSON.stringify(whole())); } catch { /* a browser may refuse; the file is what counts */ }
  }

  function restore() {
    let held = null;
    try { held = JSON.parse(localStorage.getItem(key)); } catch { return; }
    if (!held) return;
    annotator.value = held.annotator;
    const known = new Map(held.answers.map((answer) => [answer.item, answer]));
    for (const card of cards) {
      const answer = known.get(card.dataset.item);
      if (!answer) continue;
      card.querySelectorAll(".keyword").forEach((box, place) => { box.value = answer.keywords[place] ?? ""; });
      card.querySelector(".group").value = answer.group;
    }
  }

  function save() {
    if (!annotator.value.trim()) {
      state.textContent = "Please write your name or sign first.";
      annotator.focus();
      return;
    }
    const blob = new Blob([JSON.stringify(whole(), null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "answers-" + annotator.value.trim().replace(/[^\p{L}\p{N}]+/gu, "-") + ".json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    state.textContent = "Saved as " + link.download;
  }

  for (const picture of document.querySelectorAll(".veiled")) {
    picture.addEventListener("click", () => picture.classList.remove("veiled"));
  }
  document.addEventListener("input", changed);
  document.getElementById("save").addEventListener("click", save);
  restore();
  changed();
})();
