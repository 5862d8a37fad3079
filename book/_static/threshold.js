// Lesson 9: where the threshold stands decides who is called; how many of the calls are right, also who comes in.
(() => {
  "use strict";
  const root = document.getElementById("threshold");
  if (!root) return;
  const told = JSON.parse(document.getElementById("threshold-data").textContent);
  const form = root.querySelector("form"), { clinic, cut, rare, at, have } = form.elements, figure = root.querySelector("figure");
  const OF = 1000, RARE = [1, 2, 5, 10, 20, 40, 70, 100, 150, 200, 300, 400, 500]; // of 1,000
  const percent = share => `${Math.round(100 * share)}\u00a0%`;
  let threshold = told.cells[0].threshold;
  const many = n => n < 10 && n % 1 ? n.toFixed(1) : Math.round(n).toLocaleString("en");

  // Shares called of those who have it and of the others, and what it means where `ill` of 1,000 have it.
  function counted({ ill, others }, threshold, sick) {
    const above = list => list.filter(value => value >= threshold).length;
    const found = above(ill), alarms = above(others);
    const right = sick * found / ill.length, wrong = (OF - sick) * alarms / others.length;
    return { found, alarms, right, wrong, missed: sick - right, precision: right + wrong ? right / (right + wrong) : null };
  }
  function draw({ ill, others }, { right, wrong, missed }) {
    const wide = Math.min(640, figure.clientWidth || 640), parts = [], x = value => (5 + (wide - 10) * value / cut.max).toFixed(1);
    const strip = (list, top, colour, name) => {
      parts.push(`<text x="0" y="${top}">${name}</text>`);
      list.forEach((value, i) => parts.push(`<circle cx="${x(value)}" cy="${top + 16 + 8 * (i % 5)}" r="3.5" fill="${value >= threshold ? colour : "none"}" stroke="${colour}" stroke-width="1.5"/>`));
      parts.push(`<path d="M${x(threshold)} ${top + 8}v48" stroke="var(--pst-color-text-base, #222)" stroke-width="2"/>`);
    };
    strip(ill, 14, "var(--fine-tuning)", "test images of melanomas; filled: called");
    strip(others, 90, "var(--probe)", "of other lesions");
    parts.push(`<text x="0" y="172">of ${OF.toLocaleString("en")} who come in</text>`);
    let from = 0, at = 0, row = 224;
    for (const [count, fill, name] of [[right, "var(--fine-tuning)", "melanoma, called"], [missed, "var(--wrong)", "melanoma, missed"], [wrong, "var(--probe)", "another lesion, called"]]) {
      const length = wide * count / OF;
      parts.push(`<rect x="${from.toFixed(1)}" y="180" width="${length.toFixed(1)}" height="22" fill="${fill}"/>`);
      if (at + 165 > wide) [at, row] = [0, row + 20];
      parts.push(`<rect x="${at}" y="${row - 11}" width="12" height="12" fill="${fill}"/><text x="${at + 18}" y="${row}">${name}</text>`);
      from += length;
      at += 170;
    }
    parts.push(`<rect x="0.5" y="180" width="${wide - 1}" height="22" fill="none" stroke="var(--pst-color-text-muted, #666)"/>`);
    const label = `Probabilities of ${ill.length} melanomas and ${others.length} other lesions, and of 1,000 who come in: ${many(right)} melanomas called, ${many(missed)} missed, ${many(wrong)} others called.`;
    figure.innerHTML = `<svg viewBox="0 0 ${wide} ${row + 6}" role="img" aria-label="${label}" font-family="system-ui, sans-serif" font-size="14" fill="var(--pst-color-text-base, #222)">${parts.join("")}</svg>`;
  }
  function show() {
    const here = told.cells[clinic.value], sick = RARE[rare.value], now = counted(here, threshold, sick);
    at.value = threshold.toFixed(3);
    have.value = sick;
    draw(here, now);
    const { found, alarms, right, wrong, missed, precision } = now, calm = here.others.length - alarms;
    const [low, high] = learning.interval(found, here.ill.length);
    const strong = document.createElement("strong");
    strong.append(precision === null ? "Nobody is called" : `Of 100 calls ${Math.round(100 * precision)} ${Math.round(100 * precision) === 1 ? "is" : "are"} right`);
    const sentences = [
      `Of ${OF.toLocaleString("en")} who come in, ${sick} ${sick === 1 ? "has" : "have"} a melanoma. On average ${many(right)} of them are called and ${many(missed)} missed; ${many(wrong)} others are called, too.`,
      `Sensitivity, the melanomas found: ${found} of ${here.ill.length}, ${percent(found / here.ill.length)} (95 % interval, ${percent(low)} to ${percent(high)}). Specificity, the others left in peace: ${calm} of ${here.others.length}, ${percent(calm / here.others.length)}.`,
      `Validation had put the threshold at ${here.threshold.toFixed(3)}.`,
    ];
    root.querySelector(".verdict").replaceChildren(strong, ...sentences.map(text => Object.assign(document.createElement("p"), { textContent: text })));
  }
  told.cells.forEach((cell, i) => clinic.add(new Option(`seed ${cell.number}`, i)));
  cut.max = Math.ceil(100 * Math.max(...told.cells.flatMap(cell => [...cell.ill, ...cell.others]))) / 100;
  rare.value = RARE.indexOf(70);
  cut.value = threshold;
  form.addEventListener("input", ({ target }) => {
    if (target === clinic) cut.value = threshold = told.cells[clinic.value].threshold; // exactly: the slider has steps
    if (target === cut) threshold = Number(cut.value);
    show();
  });
  addEventListener("resize", show);
  form.addEventListener("submit", event => event.preventDefault());
  root.querySelector(".measured").textContent = `Drawn lesions. Recorded with the code above (lessons/studies/live.py, ${told.when}); on this page it may have run with other kernels, and then differ a little.`;
  root.hidden = false;
  show();
  window.threshold = { counted }; // for the tests
})();
