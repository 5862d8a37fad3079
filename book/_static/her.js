// The network of lesson 1, in the browser: EfficientNet-Lite0 without its head, its blank twin, and its old words.
// Made at build time by book/_ext/teach.py; fetched, from the site itself, only when a reader starts.
(() => {
  "use strict";
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const fetchScript = name => new Promise((done, failed) => {
    const tag = document.createElement("script");
    tag.src = base + name;
    tag.onload = () => { tag.remove(); done(); };
    tag.onerror = () => failed(new Error(`${name} is missing`));
    document.head.append(tag);
  });
  const bytes = text => {
    const binary = atob(text), made = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) made[i] = binary.charCodeAt(i);
    return made;
  };
  const unpacked = async pieces => {
    const stream = new Blob(pieces.map(bytes)).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  // Numbers of 16 bits, little-endian, as numbers of 32.
  const halves = raw => Float32Array.from(new Uint16Array(raw.buffer, raw.byteOffset, raw.length / 2), half => {
    const exponent = (half >> 10) & 31, fraction = half & 1023;
    return (half & 0x8000 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });

  let told, weights, old, her, twin, backend = "wasm", without = "", last = Promise.resolve();

  // Whether there is a graphics processor for her: in software it would be slower than without.
  async function graphics() {
    if (!navigator.gpu || !WebAssembly.Suspending) return false;
    const adapter = await navigator.gpu.requestAdapter().catch(() => null);
    return Boolean(adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter));
  }
  // Fetch what is needed and wake her; `progress` hears the share that is there. `made`: what the build has written;
  // `patience`: milliseconds that a graphics processor is given to show what it can.
  async function wake(made, progress, patience = 10_000) {
    if (!pictures.readable()) throw new Error("to protect you from being recognised, this browser gives the page noise in place of pictures; allow it to read its canvas, in the address bar, and load it again");
    if (made.graphics && await graphics()) {
      const scripts = { ...made.graphics.scripts, ...made.scripts };
      for (const name of made.graphics.instead) delete scripts[name];
      try { return await start(scripts, progress, patience); } catch (error) { without = error.message; }
    }
    await start(made.scripts, progress, 0);
  }
  async function start(scripts, progress, patience) {
    const total = Object.values(scripts).reduce((a, b) => a + b, 0);
    let there = 0;
    window.headStart = {}; // whatever a try that failed has left
    for (const [name, size] of Object.entries(scripts)) {
      await fetchScript(name);
      progress((there += size) / total);
    }
    const got = window.headStart;
    ort.env.wasm.numThreads = 1; // more would need headers that a folder cannot send
    ort.env.wasm.proxy = false;
    ort.env.wasm.wasmBinary = await unpacked(got.runtime);
    const planes = await unpacked(got.weights), count = planes.length / 4, raw = new Uint8Array(planes.length);
    for (let plane = 0; plane < 4; plane++) for (let i = 0; i < count; i++) raw[4 * i + plane] = planes[plane * count + i];
    told = got.network;
    weights = new Float32Array(raw.buffer);
    old = halves(bytes(told.old));
    [backend, last, twin] = ["wasm", Promise.resolve(), null];
    her = await session(weights);
    for (const name of ["runtime", "weights", "network"]) delete got[name];
    if (patience) await compare(patience);
  }
  const session = (values, provider = backend) => ort.InferenceSession.create(bytes(told.graph), {
    executionProviders: [provider],
    externalData: [{ path: "weights", data: new Uint8Array(values.buffer) }],
  });
  // The graphics processor is taken only if it gives the same answer, and sooner.
  const compared = {};
  async function compare(patience) {
    const random = learning.generator(0), picture = Float32Array.from({ length: 3 * told.size ** 2 }, () => Math.floor(256 * random()));
    const tried = async network => {
      const found = await maps(picture, network), begun = performance.now(); // the first look is slower than all others
      for (let i = 0; i < 3; i++) await maps(picture, network);
      return { network, found, milliseconds: (performance.now() - begun) / 3 };
    };
    const impatient = new Promise((_, failed) => setTimeout(failed, patience, new Error("too slow")));
    const there = await Promise.race([session(weights, "webgpu").then(tried), impatient]), here = await tried(her);
    const difference = here.found.reduce((most, value, i) => Math.max(most, Math.abs(value - there.found[i])), 0);
    Object.assign(compared, { difference, wasm: here.milliseconds, webgpu: there.milliseconds });
    const better = difference < 1e-3 && there.milliseconds < here.milliseconds;
    await (better ? here : there).network.release();
    if (better) [her, backend] = [there.network, "webgpu"];
    else without = difference < 1e-3 ? "no faster" : "another answer";
  }
  // The same graph, never at school: random weights as timm draws them, normal with a variance of 2 / fan-out, and
  // BatchNorm as it begins, which changes nothing but divides by the root of 1 + eps.
  function blank(seed) {
    const random = learning.generator(seed), made = new Float32Array(weights.length);
    let at = 0;
    for (const { shape } of told.tensors) {
      const size = shape.reduce((a, b) => a * b, 1);
      if (shape.length === 4) {
        const [out, into, height, width] = shape, fan = height * width * (into === 1 ? 1 : out);
        learning.normal(made.subarray(at, at + size), Math.sqrt(2 / fan / 1.001), random);
      }
      at += size;
    }
    return made;
  }
  // What comes out of the last stage for RGB, (size, size, 3): maps, (features, places). She scales the numbers herself.
  async function maps(pixels, network, size = told.size) {
    const planes = new Float32Array(pixels.length);
    for (let i = 0; i < size * size; i++) for (let colour = 0; colour < 3; colour++) planes[colour * size * size + i] = pixels[3 * i + colour];
    const images = new ort.Tensor("float32", planes, [1, 3, size, size]);
    const run = async () => {
      const found = (await network.run({ images }))[told.maps], made = Float32Array.from(found.data);
      found.dispose();
      return made;
    };
    return (last = last.then(run, run)); // one after the other
  }
  const look = (pixels, size) => maps(pixels, her, size);
  async function lookBlank(pixels) {
    twin ??= session(blank(0));
    return learning.averaged(await maps(pixels, await twin), told.features);
  }
  // Her own words for features, the surest first.
  function words(features, count = 1) {
    const classes = told.words.length, head = { weight: old, bias: old.subarray(classes * told.features), classes };
    const sure = learning.predict(head, features);
    return Array.from(sure.keys()).sort((a, b) => sure[b] - sure[a]).slice(0, count).map(k => ({ word: told.words[k], sure: sure[k] }));
  }
  const runsOn = () => backend === "webgpu" ? "on the graphics processor (WebGPU)"
    : `on one core of the processor (WebAssembly${without && `; the graphics processor was tried: ${without}`})`;
  // A function that does `work` when it is called. Calls while it is at work are answered by one more round, of the
  // newest state; `work` can ask whether there will be one.
  function newest(work) {
    let asked = false, busy = false;
    return async () => {
      asked = true;
      if (busy) return;
      busy = true;
      try {
        while (asked) {
          asked = false;
          await work(() => asked);
        }
      } finally {
        busy = false;
      }
    };
  }
  window.her = { wake, look, lookBlank, words, blank, runsOn, newest, compared, told: () => told };
})();
