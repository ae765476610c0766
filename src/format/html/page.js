"use strict";
{
  const search = document.getElementById("search");
  const models = [...document.querySelectorAll("details.model")].map((model) => ({ model, wasOpen: model.open }));
  const tables = [...document.querySelectorAll("details.long")];
  const text = (element) => element.dataset.find.toLowerCase();
  const rows = [...document.querySelectorAll(".row")].map((row) => {
    const model = row.closest("details.model");
    return { row, model, words: (model ? text(model) + " " : "") + text(row) };
  });

  const show = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (words) => wanted.every((word) => words.includes(word));
    const withHits = new Set();
    let found = 0;
    for (const { row, model, words } of rows) {
      row.hidden = !has(words);
      if (!row.hidden) {
        found += 1;
        withHits.add(model);
      }
    }
    for (const { model, wasOpen } of models) {
      model.hidden = !withHits.has(model) && !has(text(model));
      model.open = wanted.length === 0 ? wasOpen : !model.hidden;
    }
    // What is found is seen, however long its table.
    for (const table of tables) table.open = wanted.length > 0 && table.querySelector(".row:not([hidden])") !== null;
    document.getElementById("found").textContent = wanted.length === 0 ? "" : `${found} of ${rows.length} rows`;
  };
  search.addEventListener("input", show);
  search.closest("[hidden]").hidden = false;
  // A browser may bring back what was typed before.
  if (search.value !== "") show();

  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (target && target.matches("details")) {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
}
