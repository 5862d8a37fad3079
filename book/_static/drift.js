// Lesson 5: BatchNorm's running averages follow the batches that pass, in training mode, and with them all that she says.
(() => {
  "use strict";
  const root = document.getElementById("drift");
  if (!root) return;
  const told = JSON.parse(document.getElementById("drift-data").textContent), [start, ...batches] = told.cells;
  const find = what => root.querySelector(what), mode = find("select"), pass = find(".pass"), figure = find("figure");
  const percent = share => `${Math.round(100 * share)}\u00a0%`;
  let passed = 0, looked = false; // batches in training mode; whether the last one passed in evaluation mode

  // Each pass replaces a share of every average by the batch's: what torch.nn.BatchNorm2d does in training mode.
  const states = [start];
  for (const batch of batches) {
    const last = states[states.length - 1], mix = name => last[name].map((old, i) => old + start.momentum * (batch[name][i] - old));
    states.push({ mean: mix("mean"), var: mix("var") });
  }
  const alive = start.var.map((v, i) => i).filter(i => start.var[i] > 1e-6); // the others are filters that never answer
  const shift = ({ mean }) => alive.map(i => (mean[i] - start.mean[i]) / Math.sqrt(start.var[i]));
  const most = Math.max(...[...states, ...batches].flatMap(shift).map(Math.abs)) * 1.05;

  const spread = () => alive.map(i => Math.sqrt(states[passed].var[i] / start.var[i])).sort((a, b) => a - b)[alive.length >> 1];

  function draw() {
    const now = shift(states[passed]), batch = passed && !looked ? shift(batches[passed - 1]) : null, parts = [];
    const wide = Math.min(640, figure.clientWidth || 640), left = 40, middle = 100, high = 92, step = (wide - left - 6) / alive.length;
    const x = i => (left + (i + 0.5) * step).toFixed(1), y = value => (middle - high * value / most).toFixed(1);
    for (const value of [-0.2, 0, 0.2]) {
      parts.push(`<path d="M${left} ${y(value)}H${wide}" stroke="var(--pst-color-${value ? "border, #ccc" : "text-muted, #666"})"/>`);
      parts.push(`<text x="${left - 6}" y="${Number(y(value)) + 5}" text-anchor="end">${String(value).replace("-", "−")}</text>`);
    }
    now.forEach((value, i) => {
      if (batch) parts.push(`<path d="M${x(i) - 0.3 * step} ${y(batch[i])}h${0.6 * step}" stroke="var(--pst-color-text-muted, #666)" stroke-width="2"/>`);
      parts.push(`<path d="M${x(i)} ${middle}V${y(value)}" stroke="var(--fine-tuning)" stroke-width="3" opacity=".45"/>`);
      parts.push(`<circle cx="${x(i)}" cy="${y(value)}" r="${Math.min(4.5, 0.42 * step)}" fill="var(${passed ? "--fine-tuning" : "--probe"})"/>`);
    });
    const said = `Running averages of ${alive.length} channels after ${passed} batches, in standard deviations from where school left them. The largest shift is ${Math.max(...now.map(Math.abs)).toFixed(2)}.`;
    figure.innerHTML = `<svg viewBox="0 0 ${wide} 200" role="img" aria-label="${said}" font-family="system-ui, sans-serif" font-size="14" fill="var(--pst-color-text-base, #222)">${parts.join("")}</svg>`
      + "<figcaption>The first BatchNorm, one dot a channel: how far its average is from where school left it, in standard deviations. Dashes: the batch that passed.</figcaption>";
  }
  function show() {
    const cell = told.cells[passed], at = passed ? told.cells[(passed - 1) % told.batches + 1] : null;
    const strong = document.createElement("strong"), p = document.createElement("p"), verdict = find(".verdict");
    strong.append(looked ? "They passed, and nothing moved" : passed ? `After ${passed} ${passed === 1 ? "batch" : "batches"} her features have moved by ${percent(cell.features)} of their length` : "As school left her");
    p.append(looked ? "In evaluation mode she scales by her averages and leaves them alone." : passed ? `No weight has changed. Each pass replaces ${percent(start.momentum)} of every average, in all ${told.norms} BatchNorm layers; here the spread of a channel is ${percent(spread())} of what it was (median). Ask her about pictures that were not among them:` : "Let some patches pass, and watch her averages, and what she says below.");
    verdict.replaceChildren(strong, p);
    const picture = find(".batch");
    picture.hidden = !at;
    if (at) picture.src = `data:image/jpeg;base64,${at.picture}`;
    find(".asked").replaceChildren(...cell.says.map(([word, sure], i) => {
      const item = document.createElement("li"), image = document.createElement("img"), words = document.createElement("span");
      Object.assign(image, { alt: told.asked[i].name, src: `data:image/jpeg;base64,${told.asked[i].jpeg}`, width: 96, height: 96 });
      words.append(`“${word}” ${percent(sure)}`);
      words.className = word === start.says[i][0] ? "" : "moved";
      item.append(image, words);
      return item;
    }));
    pass.disabled = passed === batches.length && mode.value === "train";
    draw();
  }
  pass.addEventListener("click", () => {
    looked = mode.value === "eval";
    if (!looked) passed += 1;
    show();
  });
  find(".back").addEventListener("click", () => { passed = 0; looked = false; show(); });
  mode.addEventListener("change", () => { pass.disabled = passed === batches.length && mode.value === "train"; });
  addEventListener("resize", draw);
  find("form").addEventListener("submit", event => event.preventDefault());
  find(".measured").textContent = `The averages are computed here from what each batch brought; what deeper layers make of it was recorded (lessons/studies/live.py, ${told.when}). ${start.var.length - alive.length} filters that never answer are left out.`;
  root.hidden = false;
  show();
  window.drift = { states }; // for the tests
})();
