// The stage diagram: press a stage, and all from it to the head learn. The page's address keeps the choice.
(() => {
  "use strict";
  const root = document.getElementById("stages");
  if (!root) return;
  const told = JSON.parse(document.getElementById("stages-data").textContent);
  const form = root.querySelector("form"), list = root.querySelector("ol"), code = root.querySelector("code");
  const { lr, body, decay } = told.rates;
  let learn = 1; // stages below the head that learn

  const network = () => told.networks[form.elements.network.value];
  const count = value => value.toLocaleString("en");
  const rate = value => String(Number(value.toPrecision(2)));

  function rates(depth) { // as transferlib.Phase.rates: the deepest stage learns at body × lr, each below it at decay of that
    return Array.from({ length: depth }, (_, i) => i < depth - learn ? 0 : lr * body * decay ** (depth - 1 - i)).concat(lr);
  }

  function press(index, depth) { // a frozen stage thaws with all towards the head; a learning one freezes with all towards the input
    const frozen = depth - learn;
    learn = index < frozen ? depth - index : depth - index - 1;
    show();
    remember();
  }

  function show() {
    const { said, stages } = network();
    const depth = stages.length - 1;
    learn = Math.min(learn, depth);
    const here = told.recorded.filter(row => row.set === form.elements.set.value);
    const { classes, n } = here[0];
    const sizes = stages.map(([, size], i) => i === depth ? size * classes : size);
    const each = rates(depth);
    const most = Math.max(...sizes);
    const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
    list.replaceChildren(...stages.map(([name], i) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const learning = each[i] > 0;
      button.type = "button";
      button.disabled = i === depth; // the head always learns
      button.setAttribute("aria-pressed", String(learning));
      button.className = learning ? "learns" : "frozen";
      const bar = document.createElement("span");
      bar.className = "size";
      bar.style.width = `max(2px, ${100 * sizes[i] / most}%)`;
      bar.setAttribute("aria-hidden", "true");
      const words = document.createElement("span");
      words.className = "words";
      const strong = document.createElement("strong");
      strong.append(name);
      words.append(strong, ` ${learning ? "learns" : "frozen"}, ${count(sizes[i])} parameters`,
        learning ? `, learning rate ${rate(each[i])}` : "");
      button.append(words, bar);
      button.addEventListener("click", () => press(i, depth));
      item.append(button);
      return item;
    }));
    if (focused >= 0) list.querySelectorAll("button")[focused].focus();
    const total = sizes.reduce((a, b) => a + b, 0);
    const learning = sizes.reduce((sum, size, i) => sum + (each[i] > 0 ? size : 0), 0);
    const result = k => here.find(row => row.backbone === form.elements.network.value && row.learn === k);
    const percent = row => `${(100 * row.accuracy).toFixed(1)} ± ${(100 * row.spread).toFixed(1)} %`;
    const found = result(learn);
    const verdict = root.querySelector(".verdict"), headline = document.createElement("strong"), p = document.createElement("p");
    headline.append(`${count(learning)} of ${count(total)} parameters learn (${(100 * learning / total).toFixed(learning < total / 10 ? 1 : 0)} %)`);
    p.append(found
      ? `Recorded on ${n} images (${found.said}): ${percent(found)} of the test images right, ${found.seeds} seeds, `
        + `${Math.round(found.seconds)} s of training. With the head alone: ${percent(result(0))}.`
      : `${said}: no result was recorded for this choice. EfficientNet-Lite0 has one for every depth.`);
    verdict.replaceChildren(headline, p);
    const lines = [
      "import transferlib as tl",
      "",
      `sizes = {"n_train": ${n}, "n_val": 64, "n_test": 400, "image_size": 64}`,
      `splits = tl.load_data("${form.elements.set.value}", **sizes, seed=0)`,
      `model = tl.TransferModel("${form.elements.network.value}", len(splits.classes), input_size=${told.recorded[0].seen})`,
      `strategy = tl.fine_tuning(learn=${learn}, augment="none")  # stages below the head`,
      "run = tl.fit(model, splits, strategy, seed=0)",
      "print(tl.evaluate(model, splits.test))",
    ];
    code.textContent = lines.join("\n");
  }

  function remember() {
    const asked = new URLSearchParams({ network: form.elements.network.value, set: form.elements.set.value, learn });
    history.replaceState(null, "", `#${asked}`);
  }

  for (const [name, { said }] of Object.entries(told.networks)) form.elements.network.add(new Option(said, name));
  for (const row of told.recorded.filter((r, i, all) => all.findIndex(other => other.set === r.set) === i)) {
    form.elements.set.add(new Option(row.said, row.set));
  }
  function recall() {
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const name of ["network", "set"]) {
      const input = form.elements[name];
      if ([...input.options].some(option => option.value === asked.get(name))) input.value = asked.get(name);
    }
    const wanted = Number(asked.get("learn") ?? learn);
    if (Number.isInteger(wanted) && wanted >= 0) learn = wanted;
  }
  form.elements.set.value = "digits"; // where it matters most
  recall();
  form.addEventListener("input", () => { show(); remember(); });
  form.addEventListener("submit", event => event.preventDefault());
  window.addEventListener("hashchange", () => { recall(); show(); });
  root.querySelector(".code button").addEventListener("click", async event => {
    try { await navigator.clipboard.writeText(code.textContent); event.target.textContent = "Copied"; }
    catch { event.target.textContent = "Select the text and copy it"; }
  });
  root.querySelectorAll("[data-script]").forEach(part => { part.hidden = false; });
  show();
})();
