// The page "Teach her your things": what the reader does, and what is shown. The mathematics is in learning.js,
// files in and out in pictures.js, the network in her.js.
(() => {
  "use strict";
  const root = document.getElementById("teach");
  if (!root) return;
  const told = JSON.parse(document.getElementById("teach-data").textContent);
  const SIZE = 128, CELLS = 16, FEATURES = 1280, MOST_THINGS = 5, MOMENT = 1000; // MOMENT: milliseconds
  const find = (what, within = root) => within.querySelector(what);
  const all = (what, within = root) => [...within.querySelectorAll(what)];
  const percent = share => `${Math.round(100 * share)}\u00a0%`;
  const points = share => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(0)}`;
  const pause = () => new Promise(done => setTimeout(done));
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const say = text => { find(".status").textContent = text; };
  function make(tag, { text, ...properties } = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    if (text !== undefined) made.append(text);
    made.append(...children);
    return made;
  }
  function headline(box, strong, ...sentences) {
    box.hidden = false;
    box.replaceChildren(make("strong", { text: strong }), ...sentences.filter(Boolean).map(text => make("p", { text })));
  }

  if (!Object.keys(told.scripts).length || !window.WebAssembly || !window.DecompressionStream) {
    root.before(make("p", { className: "needs-script", text: Object.keys(told.scripts).length
      ? "This browser is too old to run a network in a page. A recorded session stands below."
      : "This copy of the site was built without what runs networks in a page. A recorded session stands below." }));
    root.remove();
    return;
  }

  // What the reader gave: things, each with pictures; `later` are those from another room.
  const things = [], later = [], refused = [];
  let asleep = null, working = false, shown = { hers: false, twins: false, elsewhere: false }, round = 0, chosen = null, head = null, milliseconds = [];
  let groups = 0, lastFilmed = -Infinity, filmed = 0;
  const ready = () => things.flatMap(thing => thing.pictures).filter(picture => picture.features);
  const nameOf = thing => thing.name.value.trim() || `thing ${things.indexOf(thing) + 1}`;

  function addThing(name = "") {
    const thing = { pictures: [], later: [] };
    for (const key of ["pictures", "later"]) {
      const first = key === "pictures", number = things.length + 1;
      const input = make("input", { type: "file", multiple: true, accept: "image/*" });
      const camera = make("button", { type: "button", text: "Camera" });
      const film = make("div", { className: "film", tabIndex: 0, role: "region" });
      const box = make("fieldset", { className: "thing" });
      const legend = make("legend", { text: `Thing ${number}` });
      if (first) {
        thing.name = make("input", { type: "text", maxLength: 40, placeholder: `thing ${number}`, value: name });
        box.append(legend, make("label", { className: "name", text: "Its name " }, thing.name));
        thing.name.addEventListener("input", () => { rename(thing); later_(changed); });
      } else box.append(legend);
      box.append(make("div", { className: "line" }, make("label", { className: "file" }, make("span", { text: "Choose pictures" }), input), camera), film);
      thing[key === "pictures" ? "film" : "filmLater"] = film;
      thing[key === "pictures" ? "legend" : "legendLater"] = legend;
      const take = files => receive(thing, key, [...files].map(file => ({ file })));
      input.addEventListener("change", () => { take(input.files); input.value = ""; });
      camera.addEventListener("click", () => openCamera(thing, key));
      for (const kind of ["dragenter", "dragover"]) box.addEventListener(kind, event => { event.preventDefault(); box.classList.add("over"); });
      for (const kind of ["dragleave", "drop"]) box.addEventListener(kind, () => box.classList.remove("over"));
      box.addEventListener("drop", event => {
        event.preventDefault();
        const folders = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry()).filter(entry => entry?.isDirectory);
        const names = folders.map(folder => folder.name);
        take([...event.dataTransfer.files].filter(file => !names.includes(file.name))); // a folder counts as a file, too
        for (const folder of folders) within(folder).then(take, () => complain(`The folder ${folder.name} cannot be opened here. Drop the pictures in it.`));
      });
      find(first ? ".things:not(.later)" : ".things.later").append(box);
    }
    things.push(thing);
    rename(thing);
    find("button.more").disabled = things.length >= MOST_THINGS;
    return thing;
  }
  // The files in a folder that was dropped; what is hidden is passed over.
  async function within(entry) {
    if (entry.name.startsWith(".")) return [];
    if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
    const reader = entry.createReader(), found = [];
    for (let some = [null]; some.length;) found.push(...some = await new Promise((done, failed) => reader.readEntries(done, failed)));
    return (await Promise.all(found.map(within))).flat();
  }
  function rename(thing) {
    const name = nameOf(thing);
    thing.film.setAttribute("aria-label", `Pictures of ${name}`);
    thing.filmLater.setAttribute("aria-label", `Pictures of ${name} in another room`);
    thing.legendLater.textContent = name;
    for (const picture of [...thing.pictures, ...thing.later]) caption(picture);
  }
  // Once, a moment after the last of many calls.
  let waiting = 0;
  const later_ = action => { clearTimeout(waiting); waiting = setTimeout(action, 300); };

  // Pictures come in: {file}, or {pixels}; group: what must stay on one side.
  async function receive(thing, key, found) {
    for (const one of found) {
      const picture = { thing, key, group: one.group ?? `own ${groups++}`, name: one.file?.name ?? "picture", ...one };
      picture.figure = make("figure", {}, make("figcaption", { text: "…" }));
      thing[key].push(picture);
      thing[key === "pictures" ? "film" : "filmLater"].append(picture.figure);
    }
    if (found.length) await work();
  }
  function refuse(picture, why) {
    drop(picture);
    complain(why);
  }
  function complain(why) {
    refused.push(why);
    const list = find(".refused");
    list.hidden = false;
    list.append(make("li", { text: why }));
  }
  function drop(picture) {
    const list = picture.thing[picture.key];
    list.splice(list.indexOf(picture), 1);
    picture.figure.remove();
    if (chosen === picture) chosen = null;
  }
  function caption(picture) {
    if (!picture.word) return;
    const name = nameOf(picture.thing), where = picture.key === "later" ? " in another room" : "";
    find("figcaption", picture.figure).textContent = `“${picture.word.word}” ${percent(picture.word.sure)}`;
    const pick = find("button.pick", picture.figure);
    pick?.setAttribute("aria-label", `A picture of ${name}${where}; she says ${picture.word.word}. Look where.`);
    find("button.remove", picture.figure)?.setAttribute("aria-label", `Remove this picture of ${name}${where}`);
  }

  const wake = () => asleep ??= (async () => {
    const bar = find("progress"), megabytes = Math.round(Object.values(told.scripts).reduce((a, b) => a + b, 0) / 1e6);
    bar.hidden = false;
    say(`Fetching her: ${megabytes} MB, from this site, once.`);
    try {
      await her.wake(told, share => { bar.value = share; });
    } catch (error) {
      asleep = null;
      throw error;
    }
  })();

  const pending = () => things.flatMap(thing => [...thing.pictures, ...thing.later]);
  // Decode a picture and let her look at it. A picture that cannot be used is refused, with the reason.
  async function see(picture) {
    try {
      if (picture.jpeg) picture.file = new File([Uint8Array.from(atob(picture.jpeg), c => c.charCodeAt(0))], "ours.jpg", { type: "image/jpeg" });
      picture.pixels ??= await pictures.load(picture.file, SIZE);
      delete picture.file;
      delete picture.jpeg;
    } catch (error) {
      return refuse(picture, error instanceof pictures.DataError ? error.message : `${picture.name} cannot be used (${error.message}).`);
    }
    const same = pending().find(one => one !== picture && one.features && one.pixels.every((value, i) => value === picture.pixels[i]));
    if (same && same.thing !== picture.thing) return refuse(picture, `${picture.name}: the same picture is in ${nameOf(same.thing)} and in ${nameOf(picture.thing)}. Only the first is kept.`);
    if (same) picture.group = same.group;
    const start = performance.now();
    picture.features = learning.averaged(await her.look(picture.pixels), FEATURES);
    milliseconds.push(performance.now() - start);
    picture.coarse = pictures.coarse(picture.pixels, SIZE, CELLS);
    picture.word = her.words(picture.features)[0];
    const pick = make("button", { type: "button", className: "pick" }, pictures.show(picture.pixels, SIZE));
    pick.addEventListener("click", () => { choose(picture); find(".where").scrollIntoView({ block: "nearest" }); });
    const remove = make("button", { type: "button", className: "remove", text: "×" });
    remove.addEventListener("click", () => { drop(picture); later_(changed); });
    picture.figure.prepend(pick, remove);
    caption(picture);
  }
  // She looks at what waits, then her twin does.
  async function work() {
    if (working) return;
    working = true;
    const bar = find("progress"), blind = () => pending().filter(one => !one.features);
    try {
      await wake();
      while (blind().length) {
        await see(blind()[0]);
        const left = blind().length;
        say(left ? `She is looking: ${plural(left, "picture")} to go.` : "");
        bar.hidden = false;
        bar.value = 1 - left / Math.max(pending().length, 1);
        await pause();
      }
      bar.hidden = true;
      tell();
      await changed();
      let next;
      while (!blind().length && (next = ready().find(one => !one.twin))) {
        next.twin = await her.lookBlank(next.pixels);
        await pause();
      }
    } catch (error) {
      say(`She could not be woken here: ${error.message}. A recorded session stands below.`);
      bar.hidden = true;
      working = false;
      return;
    }
    working = false;
    await (blind().length ? work() : changed());
  }

  function tell() {
    find(".seen").hidden = !ready().length;
    const usual = [...milliseconds].sort((a, b) => a - b)[milliseconds.length >> 1];
    find(".took").textContent = `A look took her ${Math.round(usual)} milliseconds ${her.runsOn()}, and left ${FEATURES.toLocaleString("en")} numbers, her features. `
      + "That was all the work of a large network. It just became unnecessary: whatever learns below reads these numbers, and no picture goes through her again.";
  }

  // What is known of the pictures, in the terms of the mathematics; null while there is too little.
  function question() {
    const named = things.filter(thing => thing.pictures.some(picture => picture.features));
    const list = ready(), labels = list.map(picture => named.indexOf(picture.thing)), own = list.map(picture => picture.group);
    const count = named.length < 2 ? 0 : learning.foldsOf(labels, own, named.length);
    return { named, list, labels, groups: own, count, classes: named.length };
  }
  function students(list) {
    const rows = key => list.map(picture => picture[key]);
    return {
      hers: { said: "she: features, then a head", products: learning.gram(rows("features")) },
      pixels: { said: "pixels", rows: rows("coarse"), standardise: true },
      ...(list.every(picture => picture.twin) ? { twin: { said: "her blank twin", products: learning.gram(rows("twin")) } } : {}),
    };
  }
  // Right answers by fold: each picture is asked about once.
  function examine(student, { labels, groups: own, count, classes }) {
    const fold = learning.splitByGroup(labels, own, count), rights = [], sure = [];
    for (let held = 0; held < count; held++) {
      const train = [], test = [];
      fold.forEach((f, i) => (f === held ? test : train).push(i));
      const logits = learning.trial(student, labels, classes, train, test);
      rights.push(learning.called(logits, classes).map((k, i) => Number(k === labels[test[i]])));
      const p = learning.softmax(logits, classes);
      test.forEach((_, i) => sure.push(Math.max(...p.subarray(i * classes, (i + 1) * classes))));
    }
    const right = rights.flat().reduce((a, b) => a + b, 0);
    return { right, n: labels.length, share: right / labels.length, folds: rights.map(learning.mean), interval: learning.interval(right, labels.length), sure: learning.mean(sure) };
  }

  // Something is new: learn again and show what has been asked for.
  async function changed() {
    const own = ++round, asked = question(), enough = asked.count >= 2;
    find(".learns").hidden = !enough;
    find(".rivals").hidden = !enough || !shown.hers;
    for (const step of [".where", ".room", ".take-along"]) find(step).hidden = !enough || !shown.twins;
    if (!enough) {
      if (ready().length && !working) say("Give at least two things two pictures each, better five.");
      return;
    }
    say(shown.hers ? "" : "She has looked. Go on below: what she sees, and your first prediction.");
    const start = performance.now();
    const products = learning.gram(asked.list.map(picture => picture.features));
    const probe = learning.linearProbe(products, asked.labels, asked.classes);
    head = { ...learning.headOf(probe, asked.list.map(picture => picture.features)), named: asked.named };
    const took = performance.now() - start;
    if (shown.hers) {
      const hers = examine({ products }, asked);
      headline(find(".learns .verdict"), `She names ${hers.right} of ${hers.n} held-out pictures rightly: ${percent(hers.share)}`,
        `Guessing would name ${percent(1 / asked.classes)}. ${guessed("hers", hers.share)}`,
        `95 % interval, ${percent(hers.interval[0])} to ${percent(hers.interval[1])}. ${asked.count} heads learned, each without its fold; the one on all pictures took ${took < 1 ? "under a millisecond" : `${Math.round(took)} ms`}.`);
      paintOver();
    }
    await pause();
    if (own === round && shown.twins) await race(asked, own);
    if (own === round) await elsewhere(asked);
  }
  const guesses = {};
  function guessed(which, share) {
    const off = Math.round(100 * share) - guesses[which];
    return `You predicted ${guesses[which]} %${off === 0 ? ": exactly." : Math.abs(off) <= 5 ? ", close." : off > 0 ? ": better than you thought." : ": worse than you thought."}`;
  }

  const INK = { hers: ["var(--probe)", "", "she"], pixels: ["var(--fine-tuning)", "7 4", "pixels"], twin: ["var(--scratch)", "2 3", "blank twin"] };
  async function race(asked, own) {
    const found = students(asked.list), scores = {};
    for (const [name, student] of Object.entries(found)) {
      scores[name] = examine(student, asked);
      await pause();
      if (own !== round) return;
    }
    const rows = Object.entries(scores).map(([name, score]) => {
      const line = make("tr", {}, make("th", { scope: "row", text: found[name].said }));
      const { right, n, share, interval: [low, high] } = score;
      let ahead = "";
      if (name !== "hers") {
        const lead = learning.compare(scores.hers.folds, score.folds, told.reach);
        ahead = `${points(lead.mean)} points, ${points(lead.low)} to ${points(lead.high)}: ${lead.clear ? "clear" : "not clear"}`;
      }
      line.append(make("td", { text: `${right} of ${n}, ${percent(share)}` }), make("td", { text: `${percent(low)} to ${percent(high)}` }), make("td", { text: ahead }));
      return line;
    });
    rows.push(make("tr", {}, make("th", { scope: "row", text: "guessing" }), make("td", { text: percent(1 / asked.classes) }), make("td"), make("td")));
    const box = find(".rivals");
    find(".found", box).hidden = false;
    find("caption", box).textContent = `${asked.list.length} pictures of ${asked.classes} things, ${asked.count} folds`;
    find("tbody", box).replaceChildren(...rows);
    const rivals = Object.keys(scores).filter(name => name !== "hers");
    const best = rivals.reduce((a, b) => scores[b].share > scores[a].share ? b : a);
    const lead = learning.compare(scores.hers.folds, scores[best].folds, told.reach);
    headline(find(".found .verdict", box), lead.clear ? `School is worth ${points(lead.mean)} points here: clear` : "Not clear: these pictures cannot tell",
      `The better opponent, ${found[best].said}, names ${percent(scores[best].share)} rightly, she ${percent(scores.hers.share)}. ${guessed("twins", scores[best].share)}`,
      lead.clear ? "" : "Chance alone could make such a difference. Harder things, or more pictures, would tell.",
      scores.twin ? "" : "The blank twin is still looking at your pictures; her line follows.");
    await curve(asked, found, own, lead.clear);
  }

  // Accuracy by pictures a thing: in each fold the head learns from the first 1, 2, 3 … of every thing.
  async function curve({ labels, groups: own, count, classes }, found, mine, clear) {
    const fold = learning.splitByGroup(labels, own, count), random = learning.generator(1), order = learning.shuffled(labels.map((_, i) => i), random);
    const split = Array.from({ length: count }, (_, held) => ({
      train: Array.from({ length: classes }, (__, k) => order.filter(i => fold[i] !== held && labels[i] === k)),
      test: order.filter(i => fold[i] === held),
    }));
    const most = Math.min(...split.flatMap(({ train }) => train.map(list => list.length)));
    const sizes = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256].filter(m => m < most).concat(most);
    const lines = Object.fromEntries(Object.keys(found).map(name => [name, []]));
    for (const m of sizes) {
      for (const [name, student] of Object.entries(found)) {
        const shares = [];
        for (const { train, test } of split) {
          const logits = learning.trial(student, labels, classes, train.flatMap(list => list.slice(0, m)), test);
          shares.push(learning.mean(learning.called(logits, classes).map((k, i) => Number(k === labels[test[i]]))));
          await pause();
          if (mine !== round) return;
        }
        lines[name].push({ m, share: learning.mean(shares), low: Math.min(...shares), high: Math.max(...shares) });
      }
    }
    draw(lines, classes);
    const final = name => lines[name][lines[name].length - 1];
    const rival = Object.keys(lines).filter(name => name !== "hers").reduce((a, b) => final(b).share > final(a).share ? b : a);
    const there = lines.hers.find(point => point.share >= final(rival).share);
    headline(find(".start"), there && there.m < most ? `${clear ? "A" : "Perhaps a"} head start of ${plural(most - there.m, "picture")} of each thing` : "No head start here",
      there && there.m < most
        ? `Where ${found[rival].said} ${rival === "pixels" ? "arrive" : "arrives"} with ${most} of each, ${percent(final(rival).share)}, she is with ${there.m}. Read the figure sideways: it is the distance between two lines.`
        : `With ${most} of each, ${found[rival].said} ${rival === "pixels" ? "reach" : "reaches"} ${percent(final(rival).share)}, and she ${percent(final("hers").share)}.`,
      clear ? "" : "The difference above is not clear, so chance may have drawn this distance.");
  }
  function draw(lines, classes) {
    const NS = "http://www.w3.org/2000/svg", wide = find(".curve").clientWidth < 480 ? 380 : 640; // legible on a phone
    const left = 52, right = wide - 120, top = 16, bottom = 250;
    const names = Object.keys(lines), sizes = lines.hers.map(point => point.m), most = sizes[sizes.length - 1];
    const part = (tag, attributes, text) => {
      const made = document.createElementNS(NS, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      if (text !== undefined) made.append(text);
      return made;
    };
    const across = m => left + (right - left) * (most > 1 ? Math.log(m) / Math.log(most) : 0.5), down = share => bottom - (bottom - top) * share;
    const words = names.map(name => `${INK[name][2]} ${percent(lines[name][lines[name].length - 1].share)}`).join(", ");
    const picture = part("svg", { viewBox: `0 0 ${wide} 300`, role: "img", "aria-label": `Accuracy on held-out pictures by the number of pictures of each thing. With ${most}: ${words}.`, "font-family": "system-ui, sans-serif", "font-size": 14, fill: "var(--pst-color-text-base, #222)" });
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      picture.append(part("path", { d: `M${left} ${down(share)}H${right}`, stroke: "var(--pst-color-border, #ccc)" }),
        part("text", { x: left - 6, y: down(share) + 5, "text-anchor": "end" }, percent(share)));
    }
    picture.append(part("path", { d: `M${left} ${down(1 / classes)}H${right}`, stroke: "var(--pst-color-text-muted, #666)", "stroke-dasharray": "1 4" }));
    let last = Infinity; // numbers that would touch are left out, from the right
    for (const m of [...sizes].reverse()) if (last - across(m) > 24) { picture.append(part("text", { x: across(m), y: bottom + 20, "text-anchor": "middle" }, String(m))); last = across(m); }
    picture.append(part("text", { x: (left + right) / 2, y: bottom + 42, "text-anchor": "middle" }, "pictures of each thing to learn from"));
    const places = [["guessing", 1 / classes, "var(--pst-color-text-muted, #666)"], ...names.map(name => [INK[name][2], lines[name][lines[name].length - 1].share, INK[name][0]])]
      .map(([text, share, colour]) => ({ text, y: down(share), colour })).sort((a, b) => a.y - b.y);
    places.forEach((place, i) => { if (i) place.y = Math.max(place.y, places[i - 1].y + 17); });
    for (const place of [...places].reverse()) { const below = places[places.indexOf(place) + 1]; place.y = Math.min(place.y, (below ? below.y - 17 : bottom)); }
    for (const { text, y, colour } of places) picture.append(part("rect", { x: right + 8, y: y - 2, width: 10, height: 4, fill: colour }), part("text", { x: right + 22, y: y + 5, "font-weight": 600 }, text));
    for (const name of names) {
      const [colour, dash] = INK[name], points_ = lines[name].map(({ m, share }) => `${across(m).toFixed(1)} ${down(share).toFixed(1)}`);
      const edge = [...lines[name].map(p => [p.m, p.high]), ...[...lines[name]].reverse().map(p => [p.m, p.low])].map(([m, share]) => `${across(m).toFixed(1)} ${down(share).toFixed(1)}`);
      if (name === "hers") picture.append(part("path", { d: `M${edge.join("L")}Z`, fill: colour, opacity: 0.15 }));
      picture.append(part("path", { d: `M${points_.join("L")}`, fill: "none", stroke: colour, "stroke-width": 3, "stroke-dasharray": dash }));
      for (const point of points_) { const [x, y] = point.split(" "); picture.append(part("circle", { cx: x, cy: y, r: 4, fill: colour })); }
    }
    find(".curve").replaceChildren(picture, make("figcaption", { text: "Accuracy on held-out pictures. Each point is a mean over the folds; the band of hers reaches from the worst fold to the best. Dotted: guessing." }));
    const table = find("table.numbers");
    table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col", text: "pictures of each" }), ...names.map(name => make("th", { scope: "col", text: INK[name][2] }))));
    table.tBodies[0].replaceChildren(...sizes.map((m, i) => make("tr", {}, make("th", { scope: "row", text: String(m) }), ...names.map(name => make("td", { text: percent(lines[name][i].share) })))));
  }

  // Where she looks: the chosen picture, painted over by the reader.
  const canvas = find("canvas.paint"), brush = { x: 64, y: 64, radius: 10, on: false };
  let painted = null, maps = null;
  function choose(picture) {
    chosen = picture;
    painted = picture.pixels.slice();
    all("button.pick").forEach(button => button.setAttribute("aria-pressed", String(button.closest("figure") === picture.figure)));
    void lookAgain();
  }
  const lookAgain = her.newest(async () => {
    if (!head) return;
    maps = await her.look(painted);
    paintOver(false);
    await pause();
  });
  function paintOver(fresh = true) {
    if (!head) return;
    if (!chosen) return void (ready().length && choose(ready()[0]));
    if (fresh && !maps) return void lookAgain();
    if (!maps) return;
    const select = find("select.class"), sure = learning.predict(head, learning.averaged(maps, FEATURES)), names = head.named.map(nameOf);
    const best = sure.indexOf(Math.max(...sure));
    const wanted = select.value;
    select.replaceChildren(new Option("what she says", ""), ...names.map((name, k) => new Option(name, k)));
    select.value = [...select.options].some(option => option.value === wanted) ? wanted : "";
    const which = select.value === "" ? best : Number(select.value);
    find(".answers").replaceChildren(...names.map((name, k) => {
      const bar = make("span", { className: "bar" });
      bar.style.width = `${100 * sure[k]}%`;
      return make("li", { className: k === best ? "best" : "" }, make("span", { text: `${name} ${percent(sure[k])}` }), bar);
    }));
    const pen = canvas.getContext("2d"), side = canvas.width;
    pen.drawImage(pictures.show(painted, SIZE), 0, 0, side, side);
    if (find("input.show").checked) {
      const found = learning.evidence(head, maps, FEATURES)[which], cells = Math.sqrt(found.length), most = Math.max(...found.map(Math.abs), 1e-9), step = side / cells;
      found.forEach((value, place) => {
        pen.fillStyle = value > 0 ? `rgba(0, 114, 178, ${0.6 * value / most})` : `rgba(213, 94, 0, ${-0.6 * value / most})`;
        pen.fillRect((place % cells) * step, Math.floor(place / cells) * step, step, step);
      });
    }
    if (document.activeElement === canvas) {
      pen.lineWidth = 3;
      for (const [colour, grow] of [["#000", 2], ["#fff", 0]]) {
        pen.strokeStyle = colour;
        pen.beginPath();
        pen.arc(brush.x * side / SIZE, brush.y * side / SIZE, brush.radius * side / SIZE + grow, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
  }
  function dab() { // 127 of 255 is zero to her
    if (!painted) return;
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) if ((x + 0.5 - brush.x) ** 2 + (y + 0.5 - brush.y) ** 2 <= brush.radius ** 2) painted.fill(127, 3 * (y * SIZE + x), 3 * (y * SIZE + x) + 3);
    }
    paintOver(false);
    void lookAgain();
  }
  const point = event => {
    const place = canvas.getBoundingClientRect();
    brush.x = (event.clientX - place.left) / place.width * SIZE;
    brush.y = (event.clientY - place.top) / place.height * SIZE;
  };
  canvas.addEventListener("pointerdown", event => { event.preventDefault(); canvas.focus(); canvas.setPointerCapture(event.pointerId); brush.on = true; point(event); dab(); });
  canvas.addEventListener("pointermove", event => { if (brush.on) { point(event); dab(); } });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { brush.on = false; });
  canvas.addEventListener("keydown", event => {
    const move = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
    if (move) { brush.x = Math.max(0, Math.min(SIZE, brush.x + move[0])); brush.y = Math.max(0, Math.min(SIZE, brush.y + move[1])); paintOver(false); }
    else if (event.key === " ") dab();
    else return;
    event.preventDefault();
  });
  for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => paintOver(false));
  find("button.clean").addEventListener("click", () => { if (chosen) choose(chosen); });
  find("select.class").addEventListener("change", () => paintOver(false));
  find("input.show").addEventListener("change", () => paintOver(false));

  // Another room: the same head, pictures that it did not learn from.
  async function elsewhere(asked) {
    const box = find(".room"), seen = things.flatMap(thing => thing.later).filter(picture => picture.features && asked.named.includes(picture.thing));
    find("form", box).hidden = !seen.length;
    if (!seen.length || !shown.elsewhere) { find(".verdict", box).hidden = true; return; }
    const first = examine({ products: learning.gram(asked.list.map(picture => picture.features)) }, asked);
    const answers = seen.map(picture => learning.predict(head, picture.features));
    const right = answers.filter((sure, i) => sure.indexOf(Math.max(...sure)) === asked.named.indexOf(seen[i].thing)).length, share = right / seen.length;
    const [low, high] = learning.interval(right, seen.length), sureness = learning.mean(answers.map(sure => Math.max(...sure)));
    const far = learning.watch(asked.list.map(picture => picture.features), seen.map(picture => picture.features));
    headline(find(".verdict", box), `There she names ${right} of ${seen.length} rightly: ${percent(share)}`,
      `In the first room, held out, it was ${percent(first.share)}. 95 % interval, ${percent(low)} to ${percent(high)}. ${guessed("elsewhere", share)}`,
      `Her sureness: ${percent(sureness)} there, ${percent(first.sure)} on held-out pictures here. Her features lie ${far.distance.toFixed(2)} standard deviations away; among the first pictures ${far.quiet.toFixed(2)} is usual, and ${far.limit.toFixed(2)} the limit (three standard deviations more).`,
      far.distance > far.limit ? "A monitor without labels would ring. Whether it is worse, only the labels say." : "A monitor without labels would stay silent.");
  }

  // The zip, with a notebook that goes on.
  function folders(named) {
    const taken = new Set(), reserved = ["train", "val", "valid", "validation", "test", "con", "prn", "aux", "nul"];
    return named.map(thing => {
      let name = nameOf(thing).normalize("NFC").replace(/[^\p{L}\p{M}\p{N} _-]+/gu, "_").replace(/^[ _]+|[ _]+$/g, "") || "thing";
      if (reserved.includes(name.toLowerCase())) name += "-thing";
      const free = name;
      for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${free} ${n}`;
      taken.add(name.toLowerCase());
      return name;
    });
  }
  function notebook() {
    const cell = (kind, text, i) => ({ cell_type: kind, id: `cell-${i}`, metadata: {}, source: text, ...(kind === "code" ? { execution_count: null, outputs: [] } : {}) });
    const cells = [
      ["markdown", "# Your things, taught in the page\n\nThe pictures as she saw them, the head that learned in the browser, and how to go on. Needs `transferlib`, the package of the course *Head Start*; nothing is downloaded."],
      ["code", "import json\nfrom pathlib import Path\n\nimport torch\nfrom safetensors import safe_open\n\nimport transferlib as tl\nfrom transferlib.data.own.images import load_image\n\nwith safe_open(\"taught.safetensors\", \"pt\") as taught:\n    classes = json.loads(taught.metadata()[\"classes\"])\n    head = {name: taught.get_tensor(f\"head.{name}\") for name in (\"weight\", \"bias\")}\n    features = taught.get_tensor(\"features\")\npaths = [path for name in classes for path in sorted(Path(\"pictures\", name).iterdir())]\nimages = torch.stack([load_image(path, 128) for path in paths])\nlabels = torch.tensor([classes.index(path.parent.name) for path in paths])\nprint(f\"{len(images)} pictures of {', '.join(classes)}\")"],
      ["markdown", "## The same network, the same features, the same head"],
      ["code", `model = tl.TransferModel("efficientnet_lite0", len(classes), input_size=128)\nmodel.head.load_state_dict(head)\nhere = tl.extract_features(model, images)\ndifference = (here - features).abs().max().item()\nprint(f"largest difference of a feature from the browser's: {difference:.1g}")\nassert difference < 1e-3\n\nprobabilities = tl.predict(model, images)\nagain = tl.linear_probe(here.double(), labels).predict_proba(here.numpy())\nprint(f"of a probability from scikit-learn's: {(probabilities - torch.tensor(again)).abs().max():.1g}")\nassert (probabilities - torch.tensor(again)).abs().max() < 5e-3`],
      ["markdown", "## Go on: let all of her learn\n\nThe folder is divided into training, validation and test pictures. This takes five pictures of each thing or more; with few, believe the interval more than the number. In the page only the head learned; fine-tuning changes every stage."],
      ["code", "splits = tl.load_data(\"folder\", path=\"pictures\", image_size=128, on_bad=\"skip\")\nfor strategy in (tl.feature_extraction(), tl.fine_tuning(epochs=8)):\n    model = tl.TransferModel(\"efficientnet_lite0\", len(splits.classes), input_size=128)\n    tl.fit(model, splits, strategy, seed=0)\n    scores = tl.evaluate(model, splits.test, splits.classes)\n    low, high = scores.intervals[\"accuracy\"]\n    print(f\"{strategy.name}: {scores.accuracy:.2f} of {len(splits.test)} test pictures, {low:.2f} to {high:.2f}\")"],
    ];
    return { cells: cells.map(([kind, text], i) => cell(kind, text, i)), metadata: { kernelspec: { name: "python3", display_name: "Python 3", language: "python" } }, nbformat: 4, nbformat_minor: 5 };
  }
  async function packed() {
    const asked = question(), names = folders(asked.named), order = names.map((_, k) => k).sort((a, b) => names[a] < names[b] ? -1 : 1);
    const files = {}, rows = [];
    for (const k of order) {
      let number = 0;
      for (const picture of asked.list.filter((_, i) => asked.labels[i] === k)) {
        files[`head-start-things/pictures/${names[k]}/${String(++number).padStart(4, "0")}.png`] = await pictures.png(picture.pixels, SIZE);
        rows.push(picture.features);
      }
    }
    const weight = new Float32Array(head.weight.length), features = new Float32Array(rows.length * FEATURES);
    order.forEach((k, row) => weight.set(head.weight.subarray(k * FEATURES, (k + 1) * FEATURES), row * FEATURES));
    rows.forEach((row, i) => features.set(row, i * FEATURES));
    const classes = order.length;
    files["head-start-things/taught.safetensors"] = pictures.safetensors({
      "head.weight": { shape: [classes, FEATURES], data: weight },
      "head.bias": { shape: [classes], data: Float32Array.from(order, k => head.bias[k]) },
      features: { shape: [rows.length, FEATURES], data: features },
    }, { classes: JSON.stringify(order.map(k => names[k])), backbone: "efficientnet_lite0", input_size: String(SIZE) });
    files["head-start-things/go_on.ipynb"] = new TextEncoder().encode(JSON.stringify(notebook(), null, 1));
    return pictures.zip(files);
  }
  find("button.download").addEventListener("click", async () => {
    const link = make("a", { href: URL.createObjectURL(new Blob([await packed()], { type: "application/zip" })), download: "head-start-things.zip" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  });

  // The camera, on request only.
  let film = null;
  async function openCamera(thing, key) {
    const box = find(".camera"), video = find("video");
    try {
      film?.stream.getTracks().forEach(track => track.stop());
      film = { thing, key, stream: await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } }) };
    } catch {
      return say("No camera may be used here. Choose pictures instead: on a phone that offers the camera, too.");
    }
    thing[key === "pictures" ? "film" : "filmLater"].closest("fieldset").append(box);
    box.hidden = false;
    video.srcObject = film.stream;
    await video.play();
    find("button.take").focus();
  }
  find("button.take").addEventListener("click", () => {
    const video = find("video"), { videoWidth: width, videoHeight: height } = video;
    if (!film || !width) return;
    const now = performance.now();
    if (now - lastFilmed > MOMENT) filmed += 1; // pictures of one moment stay on one side
    lastFilmed = now;
    void receive(film.thing, film.key, [{ pixels: pictures.square(pictures.drawn(video, width, height), SIZE), group: `moment ${filmed}` }]);
  });
  find("button.stop").addEventListener("click", () => {
    film?.stream.getTracks().forEach(track => track.stop());
    film = null;
    find(".camera").hidden = true;
  });

  for (const form of all("form.guess")) {
    const which = ["hers", "twins", "elsewhere"].find(name => form.classList.contains(name)), slider = find("input", form), output = find("output", form);
    const show = () => { output.value = slider.value; };
    slider.addEventListener("input", show);
    show();
    form.addEventListener("submit", event => {
      event.preventDefault();
      guesses[which] = Number(slider.value);
      shown[which] = true;
      find("button", form).disabled = slider.disabled = true;
      void changed();
    });
  }
  find("button.more").addEventListener("click", () => addThing().name.focus());
  find("button.tray").addEventListener("click", event => { event.target.disabled = true; void tray("first", "pictures"); });
  find("button.lamp").addEventListener("click", event => { event.target.disabled = true; void tray("later", "later"); });
  async function tray(part, key) {
    try { await wake(); } catch (error) { return say(`She could not be woken here: ${error.message}.`); }
    const ours = Map.groupBy ? Map.groupBy(headStart.tray[part], row => row.thing) : headStart.tray[part].reduce((map, row) => map.set(row.thing, [...(map.get(row.thing) ?? []), row]), new Map());
    for (const [name, rows] of ours) {
      const thing = things.find(one => one.name.value === name)
        ?? things.find(one => !one.name.value && !one.pictures.length && key === "pictures")
        ?? (things.length < MOST_THINGS && key === "pictures" ? addThing() : null);
      if (!thing) continue;
      thing.name.value = name;
      rename(thing);
      void receive(thing, key, rows.map(({ jpeg, group }) => ({ jpeg, group: `ours ${group}`, name: `ours, ${name}` })));
    }
  }

  // What falls beside a box would take the browser to that file, and everything here would be lost.
  for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());

  addThing();
  addThing();
  root.hidden = false;
  window.teach = { things, question, students, examine, packed, get head() { return head; }, get milliseconds() { return milliseconds; }, get maps() { return maps; } }; // for the tests
})();
