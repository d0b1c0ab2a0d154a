// Draws the charts, whose specifications stand in the page, and has tables sort. Nothing is fetched.
(function () {
  "use strict";

  const looks = JSON.parse((document.getElementById("looks") || { textContent: "{}" }).textContent);

  function draw(place) {
    const spec = JSON.parse(place.parentElement.querySelector("script[type='application/json']").textContent);
    const options = { actions: false, config: looks, renderer: "svg", tooltip: { theme: "custom" } };
    return window.vegaEmbed(place, spec, options).then(function () {
      place.dataset.drawn = "true";
    });
  }

  // A text as numbers and what stands between them, so that "threads 16" comes behind "threads 2".
  function parts(text) {
    const found = text.replace(/[,~%]/g, "").trim().match(/^-?\d+(?:\.\d+)?|\d+(?:\.\d+)?|\D+/g) || [];
    return found.map(function (part) { return /\d/.test(part) ? Number(part) : part; });
  }

  function order(one, other) {
    for (let place = 0; place < Math.min(one.length, other.length); place += 1) {
      const [a, b] = [one[place], other[place]];
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      if (a !== b) return a < b ? -1 : 1;
    }
    return one.length - other.length;
  }

  function sortBy(header, column) {
    const table = header.closest("table");
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = Array.from(body.rows).map(function (row) { return [parts(row.cells[column].textContent), row]; });
    rows.sort(function (one, other) { return up ? order(one[0], other[0]) : order(other[0], one[0]); });
    for (const [, row] of rows) body.append(row);
  }

  for (const table of document.querySelectorAll("table.sorts")) {
    Array.from(table.tHead.rows[0].cells).forEach(function (header, column) {
      header.querySelector("button").addEventListener("click", function () { sortBy(header, column); });
    });
  }

  // What lies in a closed part has no width: it is drawn when that is opened.
  function drawIn(part) {
    const places = Array.from(part.querySelectorAll(".chart:not([data-drawn])"));
    return Promise.all(places.filter(function (place) { return !place.closest("details.run:not([open])"); }).map(draw));
  }
  for (const part of document.querySelectorAll("details.run")) {
    part.addEventListener("toggle", function () { if (part.open) drawIn(part); });
  }
  window.addEventListener("beforeprint", function () {
    for (const part of document.querySelectorAll("details.run")) part.open = true;
    drawIn(document);
  });
  drawIn(document).then(function () { document.documentElement.dataset.drawn = "true"; });
})();
