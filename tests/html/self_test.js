// Looks at the page that it stands in, and writes a line for whatever is wrong.
addEventListener("load", () => {
  const wrong = [];
  const expect = (isRight, what) => isRight || wrong.push(what);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const isSeen = (element) => element.checkVisibility({ checkVisibilityCSS: true });

  const scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  expect(performance.getEntriesByType("resource").length === 0, "the page loads something");
  expect(window.hostile === undefined, "a name ran as a script");
  expect(all("script").length === 2 && all("img, iframe, link").length === 0, "a name became an element");
  const body = document.documentElement;
  expect(body.scrollWidth <= body.clientWidth, `the page is ${body.scrollWidth} wide in ${body.clientWidth}`);

  // Structure.
  let before = 0;
  for (const heading of all("h1, h2, h3, h4")) {
    const level = Number(heading.tagName[1]);
    expect(level <= before + 1, `heading ${heading.textContent} skips a level`);
    before = level;
  }
  expect(all("h1").length === 1, "there is not one h1");
  const ids = all("[id]").map((element) => element.id);
  expect(new Set(ids).size === ids.length, "an id is there twice");
  for (const picture of all("svg:not([aria-hidden])")) {
    expect(picture.getAttribute("role") === "img" && picture.getAttribute("aria-label"), "a picture has no text");
  }
  for (const input of all("input")) expect(input.labels.length === 1 && isSeen(input), "an input has no label");
  for (const table of all("table")) {
    expect(table.caption && table.querySelector("thead th[scope=col]"), "a table has no caption or heads");
  }
  expect(all("[tabindex]").every((element) => element.tabIndex === 0), "a tabindex changes the order of the keyboard");

  // Filter.
  const search = document.getElementById("search");
  const type = (text) => {
    search.value = text;
    search.dispatchEvent(new Event("input"));
  };
  const seen = () => all(".row").filter((row) => !row.hidden);
  const total = seen().length;
  type("dead bn_0");
  expect(seen().length > 0 && seen().length < total, `the filter shows ${seen().length} of ${total} rows`);
  expect(document.getElementById("found").textContent === `${seen().length} of ${total} rows`, "the filter does not count");
  const models = all("details.model").filter((model) => !model.hidden);
  expect(models.length === 1 && models[0].open, "the filter does not leave the one model, unfolded");
  type("zero-padding nowhere");
  expect(seen().length === 0 && all("details.model").every((model) => model.hidden), "the filter shows what does not match");
  type("many bn_59");
  expect(seen().length === 1 && isSeen(seen()[0]), "what is found in a long table is not seen");
  type("");
  expect(!isSeen(all("details.long")[0].lastElementChild), "a long table does not begin folded");
  expect(seen().length === total, "an empty filter hides rows");

  // Links and details.
  const link = document.querySelector("table a[href^='#']");
  const target = document.querySelector(link.getAttribute("href"));
  expect(!target.open, "a page of many models does not begin folded");
  link.click();
  const details = all("details details");
  const folded = details[0].lastElementChild;
  expect(!isSeen(folded), "what is folded is seen");
  setTimeout(() => {
    expect(target.open, "a link does not unfold its model");
    for (const model of all("details.model")) if (!model.open) model.firstElementChild.click();
    for (const one of details) one.firstElementChild.click();
    expect(details.every((one) => one.open && isSeen(one.lastElementChild)), "a summary does not unfold");
    expect(all("svg.graph").length >= 3 && all("svg.distribution, .distribution svg").length > 0, "pictures are missing");
    const marks = (kind) => all(`.errors:not([aria-hidden]) .${kind}`).length;
    expect(marks("original") > 3 && marks("original") === marks("rewritten"), "errors of layers are missing");
    expect(marks("rewrite") >= 3 && marks("allowed") >= 2, `${marks("rewrite")} errors of folds, ${marks("allowed")} of what is allowed`);
    contrast();
    const result = document.createElement("pre");
    result.id = "self-test";
    result.textContent = [`${scheme} ${innerWidth}`, ...wrong].join("\n");
    document.body.append(result);
  }, 200);

  // WCAG 2.2, 1.4.3: text stands out by 4.5; 1.4.11: what a picture is made of by 3.
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) =>
    0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  const isClear = (color) => !/^rgb/.test(color) || parts(color)[3] === 0;
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!isClear(color)) return parts(color);
    }
    return [255, 255, 255];
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const contrast = () => {
    const least = new Map();
    const note = (what, found, wanted) => {
      if (found < wanted) least.set(what, Math.min(found, least.get(what) ?? found));
    };
    const name = (element) => `${element.tagName} ${element.getAttribute("class") ?? ""}`;
    for (const element of all("body *:not(script)")) {
      const style = getComputedStyle(element);
      const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      const isText = element.tagName !== "title" && hasText && isSeen(element);
      if (isText) {
        const isDrawn = element.namespaceURI.endsWith("svg");
        note(name(element), ratio(parts(isDrawn ? style.fill : style.color), behind(element)), 4.5);
      }
      if (element.matches("svg :is(rect, path)") && !element.matches("marker *, .grid, .border rect")) {
        const inks = [style.fill, style.stroke].filter((ink) => !isClear(ink));
        note(name(element), Math.max(...inks.map((ink) => ratio(parts(ink), behind(element)))), 3);
      }
    }
    for (const [what, found] of least) expect(false, `${what} stands out by ${found.toFixed(2)} only`);
  };
});
