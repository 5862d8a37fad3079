// The strategy explorer: the recorded map, asked by the reader. The page's address keeps the question.
(() => {
  "use strict";
  const root = document.getElementById("explorer");
  if (!root) return;
  const told = JSON.parse(document.getElementById("explorer-data").textContent);
  const form = root.querySelector("form");
  const field = name => form.elements[name];
  const PROBE = "feature extraction", PIXELS = "pixels", LONG_TRAINED = "from scratch, long-trained";

  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = values => {
    const middle = mean(values);
    return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
  };
  const points = value => `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;
  const seconds = value => value === null ? "not recorded" : value < 1 ? "under 1 s" : `${Math.round(value)} s`;
  const said = name => told.strategies[name].said;

  // How many parameters learn in the last phase of a strategy.
  function learns(name, classes) {
    if (name === PIXELS) return (3 * 16 * 16 + 1) * classes;
    const network = told.parameters[name.startsWith("from scratch") ? "small" : "large"];
    return network.head * classes + (name === PROBE ? 0 : network.body);
  }

  // Does a strategy do with the backbone what the reader wishes?
  const fits = (name, freeze) => freeze === "any" || (name === PROBE) === (freeze === "frozen");

  // The quickest of those that are not clearly behind the best mean, seed by seed.
  function recommend(rows) {
    const best = rows.reduce((a, b) => mean(b.accuracies) > mean(a.accuracies) ? b : a);
    const level = rows.filter(row => {
      if (row === best) return true;
      const count = Math.min(row.accuracies.length, best.accuracies.length);
      const behind = Array.from({ length: count }, (_, seed) => best.accuracies[seed] - row.accuracies[seed]);
      return mean(behind) <= told.reach[count] * spread(behind); // not clear, by transferlib.comparison
    });
    const chosen = level.reduce((a, b) => b.seconds < a.seconds ? b : a);
    const why = level.length === 1
      ? "It has the best mean, and all others are behind by more than chance."
      : `${level.length} are not clearly behind: ${level.map(row => said(row.name)).join("; ")}. Over the seeds their differences to the best mean, `
        + `${(100 * mean(best.accuracies)).toFixed(1)} %, are not clear (95 %). This is the quickest of them.`;
    return { chosen, why };
  }

  // Each strategy's gain over feature extraction for data that are not on the map: as transferlib.advice.expect.
  function expect(shift, perClass) {
    const weigh = place => {
      const doublings = Math.log2(perClass / (place.n / place.classes)) / told.widths.doublings;
      return Math.max(Math.exp(-(doublings ** 2 + ((shift - place.shift) / told.widths.shifts) ** 2) / 2), 1e-12);
    };
    const weights = told.places.map(weigh);
    const total = weights.reduce((a, b) => a + b, 0);
    const names = Object.keys(told.strategies).filter(name => name !== PIXELS && name !== LONG_TRAINED);
    const rows = names.map(name => {
      const gains = told.places.map(place => {
        const probe = place.rows[PROBE].accuracies, own = place.rows[name].accuracies;
        return Array.from({ length: Math.min(own.length, probe.length) }, (_, seed) => own[seed] - probe[seed]);
      });
      const gain = gains.reduce((sum, g, i) => sum + weights[i] * mean(g), 0) / total;
      const variance = gains.reduce((sum, g, i) => sum + weights[i] * mean(g.map(v => (v - gain) ** 2)), 0) / total;
      return { name, gain, spread: Math.sqrt(variance) };
    });
    const order = told.places.map((place, i) => [weights[i], place]).sort((a, b) => b[0] - a[0]);
    return { rows, nearest: order[0][1], likeness: order[0][0] };
  }

  function cell(row, tag, text) {
    const made = document.createElement(tag);
    if (tag === "th") made.scope = "row";
    made.append(text);
    row.append(made);
    return made;
  }

  // A dot with its whiskers on a track; the same numbers stand beside it, so it is hidden from screen readers.
  function track(name, low, middle, high, zero) {
    const made = document.createElement("span");
    made.className = "track";
    made.setAttribute("aria-hidden", "true");
    const part = (kind, from, to) => {
      const mark = document.createElement("span");
      mark.className = kind;
      mark.style.left = `${100 * Math.max(0, Math.min(1, from))}%`;
      if (to !== undefined) mark.style.width = `${100 * (Math.min(1, to) - Math.max(0, from))}%`;
      mark.style.background = `var(--${told.strategies[name].colour})`;
      made.append(mark);
      return mark;
    };
    if (zero !== undefined) part("zero", zero).style.background = "";
    part("whisker", low, high);
    part("dot", middle);
    return made;
  }

  function table(caption, head, rows) {
    const made = root.querySelector("table");
    made.querySelector("caption").textContent = caption;
    const line = document.createElement("tr");
    head.forEach(text => { cell(line, "th", text).scope = "col"; });
    made.tHead.replaceChildren(line);
    made.tBodies[0].replaceChildren(...rows);
  }

  function say(headline, ...sentences) {
    const box = root.querySelector(".verdict");
    const strong = document.createElement("strong");
    strong.append(headline);
    box.replaceChildren(strong, ...sentences.map(text => {
      const p = document.createElement("p");
      p.append(text);
      return p;
    }));
  }

  function onTheMap(data) {
    const sizes = told.places.filter(place => place.set === data).map(place => place.n).sort((a, b) => a - b);
    const slider = field("size");
    slider.max = sizes.length - 1;
    const n = sizes[Math.min(slider.value, sizes.length - 1)];
    root.querySelector("output[name=images]").value = n.toLocaleString("en");
    slider.setAttribute("aria-valuetext", `${n} training images`);
    const place = told.places.find(p => p.set === data && p.n === n);
    const budget = Number(field("budget").value) || Infinity, freeze = field("freeze").value;
    const all = Object.entries(place.rows).map(([name, row]) => ({ name, ...row }));
    const candidates = all.filter(row => row.seconds !== null); // the others are there to compare
    const allowed = candidates.filter(row => row.seconds <= budget && fits(row.name, freeze));
    const found = allowed.length ? recommend(allowed) : null;
    const rows = all.map(row => {
      const line = document.createElement("tr");
      const middle = mean(row.accuracies), sd = spread(row.accuracies), count = row.accuracies.length;
      const chosen = found !== null && found.chosen === row;
      line.className = chosen ? "chosen" : candidates.includes(row) && !allowed.includes(row) ? "out" : "";
      cell(line, "th", said(row.name) + (chosen ? "\u00a0✓" : ""))
        .append(track(row.name, middle - sd, middle, middle + sd, 1 / place.classes));
      cell(line, "td", `${(100 * middle).toFixed(1)} ± ${(100 * sd).toFixed(1)} %`);
      cell(line, "td", String(count));
      cell(line, "td", seconds(row.seconds));
      cell(line, "td", learns(row.name, place.classes).toLocaleString("en"));
      return line;
    });
    const set = told.sets[data];
    table(
      `${set.label[0].toUpperCase() + set.label.slice(1)}, ${n.toLocaleString("en")} training images, ${place.classes} classes (guessing: ${(100 / place.classes).toFixed(0)} %)`,
      ["strategy (dotted: guessing)", "accuracy ± s.d.", "seeds", "time", "parameters that learn"], rows);
    if (found) say(`Take: ${said(found.chosen.name)}`, found.why, `${set.what} Distance from the source: ${place.shift.toFixed(2)}.`);
    else say("Nothing fits", "No strategy with these wishes was within the budget. Give it more time, or let the backbone do as it likes.");
  }

  function offTheMap() {
    const shift = Number(field("distance").value), perClass = 2 ** Number(field("perclass").value);
    root.querySelector("output[name=shift]").value = shift.toFixed(2);
    root.querySelector("output[name=each]").value = Math.round(perClass);
    field("perclass").setAttribute("aria-valuetext", `${Math.round(perClass)} images a class`);
    const freeze = field("freeze").value;
    const { rows, nearest, likeness } = expect(shift, perClass);
    const allowed = rows.filter(({ name }) => fits(name, freeze));
    const chosen = allowed.reduce((a, b) => b.gain > a.gain ? b : a);
    const on = value => 0.5 + value / 0.8; // the track reaches from −40 to +40 points
    const lines = rows.map(row => {
      const line = document.createElement("tr");
      line.className = row === chosen ? "chosen" : allowed.includes(row) ? "" : "out";
      cell(line, "th", said(row.name) + (row === chosen ? "\u00a0✓" : ""))
        .append(track(row.name, on(row.gain - row.spread), on(row.gain), on(row.gain + row.spread), on(0)));
      cell(line, "td", row.name === PROBE ? "0 (reference)" : `${points(row.gain)} ± ${(100 * row.spread).toFixed(1)}`);
      return line;
    });
    table("What the map's neighbours gained over feature extraction, in points (± s.d.)", ["strategy (dotted: no gain)", "gain"], lines);
    say(`Expected to gain most: ${said(chosen.name)}`,
      chosen.name !== PROBE && chosen.gain <= chosen.spread
        ? "But not reliably: the spread holds zero. Start with feature extraction, which takes seconds, and compare." : "",
      `Nearest on the map: ${told.sets[nearest.set].label}, ${nearest.n.toLocaleString("en")} images (likeness ${likeness.toFixed(2)} of 1).`
      + (likeness < 0.3 ? " That is not near: believe this little." : ""),
      "Times depend on your images and machine; transferlib advise measures them, and the distance.");
  }

  function show() {
    const own = field("set").value === "own";
    root.querySelectorAll("[data-for]").forEach(part => { part.hidden = part.dataset.for !== (own ? "own" : "map"); });
    own ? offTheMap() : onTheMap(field("set").value);
  }

  // The question, in the address.
  const NAMES = ["set", "size", "budget", "freeze", "distance", "perclass"];
  function remember() {
    const asked = new URLSearchParams(NAMES.map(name => [name, field(name).value]));
    history.replaceState(null, "", `#${asked}`);
  }
  function recall() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (!asked.has("set")) return; // the anchor of a section
    form.reset(); // what the address does not say is as at the start
    NAMES.forEach(name => {
      const value = asked.get(name);
      if (value === null) return;
      const input = field(name), before = input.value;
      input.value = value;
      if (input.value !== value) input.value = before; // an address that asks for what there is not
    });
  }

  for (const [data, set] of Object.entries(told.sets)) {
    field("set").add(new Option(`${set.label} (${set.distance.toFixed(2)})`, data));
  }
  field("set").add(new Option("my own images", "own"));
  root.querySelector(".measured").textContent = `Measured from ${told.dates[0]} to ${told.dates[told.dates.length - 1]} on `
    + `${told.measured.join("; ")}. Images of 64 pixels; EfficientNet-Lite0 saw them at 128, from scratch a small network at the better of both sizes.`;
  field("size").max = 99;
  recall();
  form.addEventListener("input", () => { show(); remember(); });
  form.addEventListener("submit", event => event.preventDefault());
  root.querySelector("button.copy-address").addEventListener("click", async event => {
    remember();
    try { await navigator.clipboard.writeText(location.href); event.target.textContent = "Copied"; }
    catch { event.target.textContent = "The address bar has it"; }
  });
  window.addEventListener("hashchange", () => { recall(); show(); });
  root.querySelectorAll("[data-script]").forEach(part => { part.hidden = false; });
  show();
  window.explorer = { expect }; // for the tests
})();
