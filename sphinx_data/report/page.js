"use strict";
// Filters of the gallery (kept in the address: #source=a&task=b&q=words) and regions that light up with their phrase.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const cards = [...document.querySelectorAll("#cards > .card")];
  const words = new Map(cards.map((card) => [card, card.textContent.toLowerCase()]));
  const fields = ["source", "task", "domain", "q", "regions"];
  const control = (name) => form.elements.namedItem(name);

  function show() {
    const wanted = ["source", "task", "domain"].map((name) => [name, control(name).value]).filter(([, value]) => value);
    const sought = control("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const fits = wanted.every(([name, value]) => card.dataset[name] === value)
        && sought.every((word) => words.get(card).includes(word));
      card.hidden = !fits;
      count += fits;
    }
    document.getElementById("shown").textContent = `${count} of ${cards.length} shown`;
    document.getElementById("cards").classList.toggle("off", control("regions").value === "hover");
  }

  function keep() {
    const state = new URLSearchParams();
    for (const name of fields) if (control(name).value) state.set(name, control(name).value);
    history.replaceState(null, "", `#${state.toString() || "gallery"}`);
  }

  function restore() {
    if (!location.hash.includes("=")) return show();
    const state = new URLSearchParams(location.hash.slice(1));
    for (const name of fields) control(name).value = state.get(name) ?? "";
    show();
    document.getElementById("gallery").scrollIntoView();
  }

  form.addEventListener("input", () => { show(); keep(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { show(); keep(); }));
  addEventListener("hashchange", restore);

  const numbers = (node) => (node.dataset.r ?? "").split(" ").filter(Boolean);
  let lit = null; // the card that has something lit

  function dark() {
    if (!lit) return;
    lit.classList.remove("busy");
    for (const node of lit.querySelectorAll(".lit")) node.classList.remove("lit");
    for (const node of lit.querySelectorAll("output")) node.textContent = "";
    lit = null;
  }

  function light(node) {
    dark();
    const some = numbers(node);
    lit = node.closest(".card");
    if (!lit || !some.length) return;
    lit.classList.add("busy");
    for (const other of lit.querySelectorAll("[data-r]"))
      if (other === node || numbers(other).some((number) => some.includes(number) && (other.tagName === "g" || node.tagName === "g")))
        other.classList.add("lit");
    const first = lit.querySelector("g.lit");
    if (first) first.closest("figure").querySelector("output").textContent = first.dataset.name;
  }

  const part = (event) => (event.target instanceof Element ? event.target.closest("#cards [data-r]") : null);
  for (const kind of ["pointerover", "focusin", "click"])
    document.addEventListener(kind, (event) => { const node = part(event); if (node) light(node); else if (kind !== "focusin") dark(); });
  restore();
})();
