// Pictures in and out, for "Teach her your things": an untrusted file becomes 128 × 128 pixels as transferlib makes
// them; pixels, numbers and a notebook become one zip. Nothing here knows of a page, and nothing asks the network.
(() => {
  "use strict";
  const MAX_PIXELS = 80_000_000, MAX_BYTES = 256 * 2 ** 20; // as transferlib.data.own.images
  class DataError extends Error {}

  // Bicubic with antialiasing, whole numbers and all, as Pillow computes it (its Resample.c): pixels are RGB bytes,
  // (height, width, 3); box is (left, top, right, bottom), perhaps between two pixels.
  const BITS = 22;
  const cubic = x => { // a = -0.5
    const t = Math.abs(x);
    return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
  };
  function coefficients(length, from, to, size) {
    const scale = (to - from) / size, wide = Math.max(scale, 1), support = 2 * wide, narrow = 1 / wide;
    return Array.from({ length: size }, (_, place) => {
      const center = from + (place + 0.5) * scale;
      const start = Math.max(0, Math.trunc(center - support + 0.5)), end = Math.min(length, Math.trunc(center + support + 0.5));
      const raw = Array.from({ length: end - start }, (__, i) => cubic((i + start - center + 0.5) * narrow));
      const total = raw.reduce((a, b) => a + b, 0);
      return { start, weights: raw.map(w => Math.trunc(w / total * 2 ** BITS + (w < 0 ? -0.5 : 0.5))) };
    });
  }
  const clip = value => Math.max(0, Math.min(255, Math.floor(value / 2 ** BITS)));
  function resample({ pixels, width, height }, size, [left, top, right, bottom]) {
    // Since version 13 Pillow goes down first where that leaves much less to do.
    if (height - size > Math.max(0, 2 * (width - size))) {
      return turned(across({ pixels: turned(pixels, width, height), width: height, height: width }, size, [top, left, bottom, right]), size, size);
    }
    return across({ pixels, width, height }, size, [left, top, right, bottom]);
  }
  function turned(pixels, width, height) { // rows become columns
    const made = new Uint8Array(pixels.length);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) for (let colour = 0; colour < 3; colour++) made[(x * height + y) * 3 + colour] = pixels[(y * width + x) * 3 + colour];
    return made;
  }
  function across({ pixels, width, height }, size, [left, top, right, bottom]) {
    const along = coefficients(width, left, right, size), down = coefficients(height, top, bottom, size);
    const first = down[0].start, last = down[size - 1].start + down[size - 1].weights.length;
    const between = new Uint8Array((last - first) * size * 3), made = new Uint8Array(size * size * 3);
    for (let y = first; y < last; y++) {
      for (let x = 0; x < size; x++) {
        const { start, weights } = along[x];
        for (let colour = 0; colour < 3; colour++) {
          let total = 2 ** (BITS - 1);
          for (let i = 0; i < weights.length; i++) total += weights[i] * pixels[(y * width + start + i) * 3 + colour];
          between[((y - first) * size + x) * 3 + colour] = clip(total);
        }
      }
    }
    for (let y = 0; y < size; y++) {
      const { start, weights } = down[y];
      for (let i = 0; i < size * 3; i++) {
        let total = 2 ** (BITS - 1);
        for (let j = 0; j < weights.length; j++) total += weights[j] * between[(start - first + j) * size * 3 + i];
        made[y * size * 3 + i] = clip(total);
      }
    }
    return made;
  }
  // Blocks of factor × factor pixels become their means, as Pillow's reduce; at the far edges blocks may be smaller.
  function reduce({ pixels, width }, factor, [left, top, right, bottom]) {
    const w = Math.ceil((right - left) / factor), h = Math.ceil((bottom - top) / factor), made = new Uint8Array(w * h * 3);
    for (let y = 0; y < h; y++) {
      const y0 = top + y * factor, y1 = Math.min(bottom, y0 + factor);
      for (let x = 0; x < w; x++) {
        const x0 = left + x * factor, x1 = Math.min(right, x0 + factor), count = (y1 - y0) * (x1 - x0);
        const share = Math.floor(2 ** 24 / count), amend = count >> 1;
        for (let colour = 0; colour < 3; colour++) {
          let total = amend;
          for (let row = y0; row < y1; row++) for (let col = x0; col < x1; col++) total += pixels[(row * width + col) * 3 + colour];
          made[(y * w + x) * 3 + colour] = Math.floor(total * share / 2 ** 24);
        }
      }
    }
    return { pixels: made, width: w, height: h };
  }
  // The central square of RGB pixels at `size`: reduced by whole numbers while it is over three times too large, then
  // resampled; transferlib asks Pillow for the same (reducing_gap=3).
  function square(image, size) {
    const { width, height } = image, side = Math.min(width, height);
    const left = (width - side) / 2, top = (height - side) / 2;
    let box = [left, top, left + side, top + side];
    if (width === size && height === size) return image.pixels;
    const factor = Math.trunc(side / size / 3) || 1;
    if (factor > 1) {
      const reach = 1.5 * side / size;
      const safe = [Math.max(0, Math.trunc(box[0] - reach)), Math.max(0, Math.trunc(box[1] - reach)),
        Math.min(width, Math.ceil(box[2] + reach)), Math.min(height, Math.ceil(box[3] + reach))];
      box = box.map((edge, i) => (edge - safe[i % 2]) / factor);
      image = reduce(image, factor, safe);
    }
    return resample(image, size, box.map(Math.fround));
  }

  const withoutAlpha = data => {
    const made = new Uint8Array(data.length / 4 * 3);
    for (let from = 0, to = 0; from < data.length; from += 4, to += 3) { made[to] = data[from]; made[to + 1] = data[from + 1]; made[to + 2] = data[from + 2]; }
    return made;
  };
  // What a bitmap, a video's frame or a canvas shows: upright, transparency on white, RGB.
  function drawn(source, width, height) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.fillStyle = "white";
    pen.fillRect(0, 0, width, height);
    pen.drawImage(source, 0, 0, width, height);
    const pixels = withoutAlpha(pen.getImageData(0, 0, width, height).data);
    canvas.width = canvas.height = 0; // a phone frees the memory at once
    return { pixels, width, height };
  }
  // Whether what is drawn can be read. A browser that hides who its owner is may answer with noise.
  const readable = () => drawn(document.createElement("canvas"), 8, 8).pixels.every(value => value === 255);
  // All of it in a square, squeezed: lesson 4 does what one should not.
  const squeezed = (image, size) => resample(image, size, [0, 0, image.width, image.height]);
  // Whether a JPEG or a PNG has its end: of one that was cut short Firefox draws what there is.
  function ends(buffer) {
    const view = new DataView(buffer), length = buffer.byteLength;
    if (length >= 4 && view.getUint16(0) === 0xffd8) {
      let at = 2; // the small picture that a header may hold has an end of its own
      while (at + 4 <= length && view.getUint16(at) !== 0xffda) at += view.getUint16(at) === 0xffff ? 1 : 2 + view.getUint16(at + 2);
      while (at + 2 <= length && view.getUint16(at) !== 0xffd9) at++;
      return at + 2 <= length;
    }
    if (length >= 16 && view.getUint32(0) === 0x89504e47) {
      let at = 8;
      while (at + 8 <= length && view.getUint32(at + 4) !== 0x49454e44) at += 12 + view.getUint32(at); // IEND
      return at + 8 <= length;
    }
    return true;
  }
  // A file that nobody has vouched for as RGB bytes, {pixels, width, height}. Raises DataError.
  async function decode(file) {
    if (!file.size) throw new DataError(`${file.name} is empty.`);
    if (file.size > MAX_BYTES) throw new DataError(`${file.name} is larger than 256 MB: save a smaller copy.`);
    let bitmap;
    try {
      if (!ends(await file.arrayBuffer())) throw new Error("cut short");
      bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
    } catch {
      const head = new TextDecoder("latin1").decode(await file.slice(4, 12).arrayBuffer());
      const heic = /^ftyp(hei|hev|mif|msf)/.test(head);
      throw new DataError(`${file.name} cannot be opened here${heic ? " (HEIC: set the camera to JPEG, or save a copy as JPEG)" : ": damaged, or no picture that this browser knows"}.`);
    }
    const { width, height } = bitmap;
    try {
      if (width * height > MAX_PIXELS) throw new DataError(`${file.name} has ${width} × ${height} pixels, over 80 million: save a smaller copy.`);
      return drawn(bitmap, width, height);
    } finally { bitmap.close(); }
  }
  const load = async (file, size) => square(await decode(file), size);

  // RGB bytes, (size, size, 3), on a canvas.
  function show(pixels, size, canvas = document.createElement("canvas")) {
    canvas.width = canvas.height = size;
    const image = new ImageData(size, size);
    for (let from = 0, to = 0; from < pixels.length; from += 3, to += 4) image.data.set([pixels[from], pixels[from + 1], pixels[from + 2], 255], to);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }
  // Means of blocks, so that `cells` × `cells` of them are left, in 0…1: what the opponent "pixels" sees.
  function coarse(pixels, size, cells) {
    const step = size / cells, made = new Float64Array(cells * cells * 3);
    pixels.forEach((value, i) => {
      const place = (i / 3) | 0, row = ((place / size) | 0) / step | 0, column = (place % size) / step | 0;
      made[(row * cells + column) * 3 + i % 3] += value / 255 / step / step;
    });
    return made;
  }

  const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  function crc(bytes) {
    let sum = -1;
    for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
    return ~sum >>> 0;
  }
  const ascii = text => new TextEncoder().encode(text);
  const join = parts => {
    const made = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
    let at = 0;
    for (const part of parts) { made.set(part, at); at += part.length; }
    return made;
  };
  const number = (value, bytes, little = false) => {
    const made = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i++) made[little ? i : bytes - 1 - i] = Math.floor(value / 256 ** i) % 256;
    return made;
  };
  const through = async (bytes, change) => new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(change)).arrayBuffer());
  // A PNG by hand: a canvas may change pixels, to protect its owner from being recognised.
  async function png(pixels, size) {
    const rows = new Uint8Array(size * (size * 3 + 1));
    for (let y = 0; y < size; y++) rows.set(pixels.subarray(y * size * 3, (y + 1) * size * 3), y * (size * 3 + 1) + 1);
    const chunk = (name, data) => { const body = join([ascii(name), data]); return join([number(data.length, 4), body, number(crc(body), 4)]); };
    const head = join([number(size, 4), number(size, 4), new Uint8Array([8, 2, 0, 0, 0])]);
    const body = await through(rows, new CompressionStream("deflate"));
    return join([new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", head), chunk("IDAT", body), chunk("IEND", new Uint8Array())]);
  }
  // Float32 tensors as safetensors: {name: {shape, data}}.
  function safetensors(tensors, metadata) {
    let at = 0;
    const head = { __metadata__: metadata };
    for (const [name, { shape, data }] of Object.entries(tensors)) head[name] = { dtype: "F32", shape, data_offsets: [at, at += data.byteLength] };
    let text = ascii(JSON.stringify(head));
    text = join([text, ascii(" ".repeat((8 - text.length % 8) % 8))]);
    const bytes = Object.values(tensors).map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return join([number(text.length, 8, true), text, ...bytes]);
  }
  // A zip of {path: bytes}, stored as they are.
  function zip(files) {
    const parts = [], listing = [];
    let at = 0;
    const little = (value, bytes) => number(value, bytes, true);
    for (const [path, bytes] of Object.entries(files)) {
      const name = ascii(path), sum = crc(bytes);
      const facts = [little(20, 2), little(0x800, 2), little(0, 2), little(0, 2), little(0x21, 2), little(sum, 4), little(bytes.length, 4), little(bytes.length, 4), little(name.length, 2), little(0, 2)];
      const local = join([little(0x04034b50, 4), ...facts, name]);
      listing.push(join([little(0x02014b50, 4), little(20, 2), ...facts, little(0, 2), little(0, 2), little(0, 2), little(0, 4), little(at, 4), name]));
      parts.push(local, bytes);
      at += local.length + bytes.length;
    }
    const list = join(listing), count = little(listing.length, 2);
    return join([...parts, list, little(0x06054b50, 4), little(0, 4), count, count, little(list.length, 4), little(at, 4), little(0, 2)]);
  }

  window.pictures = { DataError, decode, load, square, squeezed, drawn, readable, show, coarse, png, safetensors, zip, through };
})();
