"use strict";
// The value under the pointer: each chart's first bold line carries its points as data-x and data-y.
(() => {
  for (const figure of document.querySelectorAll("figure.chart")) {
    const svg = figure.querySelector("svg"), line = svg.querySelector("[data-x]"), said = figure.querySelector("output");
    if (!line) continue;
    const [x, y] = ["x", "y"].map((name) => line.dataset[name].split(" ").filter(Boolean).map(Number));
    if (!x.length) continue;
    const { low, high, first, last } = Object.fromEntries(
      ["low", "high", "first", "last"].map((name) => [name, Number(svg.dataset[name])]));
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "path");
    mark.setAttribute("class", "mark");
    svg.append(mark);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const step = first + (event.clientX - box.left) / box.width * (last - first);
      let near = 0;
      for (let i = 1; i < x.length; i++) if (Math.abs(x[i] - step) < Math.abs(x[near] - step)) near = i;
      said.textContent = `step ${x[near].toLocaleString("en")}: ${y[near]}`;
      mark.setAttribute("d", `M${(x[near] - first) / (last - first) * 1000} ${(1 - (y[near] - low) / (high - low)) * 200}h0`);
    });
    svg.addEventListener("pointerleave", () => { said.textContent = ""; mark.removeAttribute("d"); });
  }
})();
