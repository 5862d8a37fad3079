// The mathematics of "Teach her your things": a head on features, splits, one comparison, evidence, a watch.
// Names as in transferlib. Nothing here knows of a page; tests/test_teach.py compares every number with Python's.
(() => {
  "use strict";
  const sum = values => { let total = 0; for (const value of values) total += value; return total; };
  const mean = values => sum(values) / values.length;
  const spread = values => {
    const middle = mean(values);
    return Math.sqrt(sum(Array.from(values, value => (value - middle) ** 2)) / (values.length - 1));
  };

  // Random numbers by seed: mulberry32 (Tommy Ettinger), uniform in 0…1.
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }
  function shuffled(values, random) {
    const order = [...values];
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
  // Standard normal numbers, in place (Box and Muller 1958).
  function normal(values, sd, random) {
    for (let i = 0; i < values.length; i += 2) {
      const radius = sd * Math.sqrt(-2 * Math.log(1 - random())), angle = 2 * Math.PI * random();
      values[i] = radius * Math.cos(angle);
      if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
    }
    return values;
  }

  // The products of all rows with all rows: all that a linear classifier has to know of them.
  function gram(rows) {
    const n = rows.length, table = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        const a = rows[i], b = rows[j];
        let product = 0;
        for (let d = 0; d < a.length; d++) product += a[d] * b[d];
        table[i * n + j] = table[j * n + i] = product;
      }
    }
    return table;
  }
  function part(table, rows, columns = rows) {
    const n = Math.sqrt(table.length), made = new Float64Array(rows.length * columns.length);
    rows.forEach((row, i) => columns.forEach((column, j) => { made[i * columns.length + j] = table[row * n + column]; }));
    return made;
  }
  // Each row's probabilities of its logits, (N, K) in one array.
  function softmax(logits, classes) {
    const made = new Float64Array(logits.length);
    for (let start = 0; start < logits.length; start += classes) {
      let most = -Infinity, total = 0;
      for (let k = 0; k < classes; k++) most = Math.max(most, logits[start + k]);
      for (let k = 0; k < classes; k++) total += made[start + k] = Math.exp(logits[start + k] - most);
      for (let k = 0; k < classes; k++) made[start + k] /= total;
    }
    return made;
  }
  // (N, M) times (M, K), plus a row.
  function times(table, right, classes, bias) {
    const m = right.length / classes, n = table.length / m, made = new Float64Array(n * classes), column = new Float64Array(m);
    for (let k = 0; k < classes; k++) {
      for (let j = 0; j < m; j++) column[j] = right[j * classes + k];
      for (let i = 0; i < n; i++) {
        let total = bias ? bias[k] : 0;
        for (let j = 0, at = i * m; j < m; j++) total += table[at + j] * column[j];
        made[i * classes + k] = total;
      }
    }
    return made;
  }

  // Softmax regression held back by its squared weights, as transferlib.linear_probe, that is, scikit-learn's
  // LogisticRegression with C = freedom, at its optimum. There the weights are a sum of the training rows, so the rows'
  // products suffice: `alpha`, (N, K), says how much of each row is in the weights of each class. Newton's method; each
  // step is solved by conjugate gradients in the metric of the weights.
  function linearProbe(products, labels, classes, freedom = 0.1) {
    const n = labels.length, size = n * classes;
    // Of two classes scikit-learn trains one vector of weights, the difference of the two here: half the freedom.
    const c = classes === 2 ? freedom / 2 : freedom;
    const alpha = new Float64Array(size), bias = new Float64Array(classes);
    let logits = new Float64Array(size);
    const dot = (a, b) => { let total = 0; for (let i = 0; i < a.length; i++) total += a[i] * b[i]; return total; };
    const loss = found => {
      let total = 0;
      softmax(found, classes).forEach((p, i) => { if (i % classes === labels[(i / classes) | 0]) total -= Math.log(Math.max(p, 1e-300)); });
      return c * total;
    };
    const columns = table => {
      const made = new Float64Array(classes);
      table.forEach((value, i) => { made[i % classes] += value; });
      return made;
    };
    for (let step = 0; step < 60; step++) {
      const probabilities = softmax(logits, classes);
      const gradient = probabilities.map((p, i) => alpha[i] + c * (p - (i % classes === labels[(i / classes) | 0])));
      const residual = gradient.map(value => -value), own = columns(gradient.map((g, i) => g - alpha[i])).map(g => -g);
      // What the second derivative of the loss makes of a change of the logits.
      const curved = change => {
        const made = new Float64Array(size);
        for (let start = 0; start < size; start += classes) {
          let middle = 0;
          for (let k = 0; k < classes; k++) middle += probabilities[start + k] * change[start + k];
          for (let k = 0; k < classes; k++) made[start + k] = c * probabilities[start + k] * (change[start + k] - middle);
        }
        return made;
      };
      let seen = times(products, residual, classes), left = dot(residual, seen) + dot(own, own);
      const enough = Math.max(1e-16, left * Math.min(1e-4, left));
      if (left < 1e-14) break;
      const to = new Float64Array(size), toBias = new Float64Array(classes), toLogits = new Float64Array(size);
      const way = residual.slice(), wayBias = own.slice();
      let wayLogits = seen.map((value, i) => value + own[i % classes]);
      for (let round = 0; round < 200 && left > enough; round++) {
        const bent = curved(wayLogits), bentBias = columns(bent);
        let energy = dot(wayLogits, bent);
        for (let i = 0; i < size; i++) energy += way[i] * (wayLogits[i] - wayBias[i % classes]);
        const length = left / energy;
        for (let i = 0; i < size; i++) {
          to[i] += length * way[i];
          toLogits[i] += length * wayLogits[i];
          residual[i] -= length * (way[i] + bent[i]);
        }
        for (let k = 0; k < classes; k++) { toBias[k] += length * wayBias[k]; own[k] -= length * bentBias[k]; }
        seen = times(products, residual, classes);
        const next = dot(residual, seen) + dot(own, own), turn = next / left;
        left = next;
        for (let i = 0; i < size; i++) {
          way[i] = residual[i] + turn * way[i];
          wayLogits[i] = seen[i] + own[i % classes] + turn * wayLogits[i];
        }
        for (let k = 0; k < classes; k++) wayBias[k] = own[k] + turn * wayBias[k];
      }
      // Shorten the step until it helps.
      const seenTo = toLogits.map((value, i) => value - toBias[i % classes]);
      const first = dot(alpha, seenTo), second = dot(to, seenTo), here = loss(logits);
      let share = 1, tried = logits;
      for (; share > 1e-6; share /= 2) {
        tried = logits.map((value, i) => value + share * toLogits[i]);
        if (loss(tried) + share * first + share * share * second / 2 <= here + 1e-12 * Math.abs(here)) break;
      }
      logits = tried;
      for (let i = 0; i < size; i++) alpha[i] += share * to[i];
      for (let k = 0; k < classes; k++) bias[k] += share * toBias[k];
    }
    return { alpha, bias, classes };
  }
  // The head's weights, (K, D), of a probe and the features that it was trained on.
  function headOf(probe, rows) {
    const depth = rows[0].length, weight = new Float32Array(probe.classes * depth);
    for (let k = 0; k < probe.classes; k++) {
      for (let i = 0; i < rows.length; i++) {
        const share = probe.alpha[i * probe.classes + k];
        for (let d = 0; d < depth; d++) weight[k * depth + d] += share * rows[i][d];
      }
    }
    return { weight, bias: Float32Array.from(probe.bias), classes: probe.classes };
  }
  // Probabilities, (K,), of one picture's features.
  function predict({ weight, bias, classes }, features) {
    const logits = new Float64Array(classes), depth = features.length;
    for (let k = 0; k < classes; k++) {
      logits[k] = bias[k];
      for (let d = 0; d < depth; d++) logits[k] += weight[k * depth + d] * features[d];
    }
    return softmax(logits, classes);
  }
  // Where the evidence for each class is, (K, places): their mean and the bias make the logits, but for a part that all
  // classes share. Exact, because the features are the means of the maps, (D, places), and the head is linear.
  function evidence({ weight, classes }, maps, depth) {
    const places = maps.length / depth, made = Array.from({ length: classes }, () => new Float64Array(places));
    for (let d = 0; d < depth; d++) {
      let shared = 0;
      for (let k = 0; k < classes; k++) shared += weight[k * depth + d] / classes;
      for (let k = 0; k < classes; k++) {
        const own = weight[k * depth + d] - shared;
        for (let place = 0; place < places; place++) made[k][place] += own * maps[d * places + place];
      }
    }
    return made;
  }
  // Features, (D,), of the last stage's maps, (D, places).
  function averaged(maps, depth) {
    const places = maps.length / depth;
    return Float32Array.from({ length: depth }, (_, d) => mean(maps.subarray(d * places, (d + 1) * places)));
  }

  // Rows less their mean over the training rows, by the standard deviation there, as lesson 1 does with pixels.
  function standardised(rows, train) {
    const depth = rows[0].length, n = train.length, middle = new Float64Array(depth), width = new Float64Array(depth);
    for (const i of train) for (let d = 0; d < depth; d++) middle[d] += rows[i][d] / n;
    for (const i of train) for (let d = 0; d < depth; d++) width[d] += (rows[i][d] - middle[d]) ** 2 / Math.max(n - 1, 1);
    return rows.map(row => Float64Array.from(row, (value, d) => width[d] > 0 ? (value - middle[d]) / Math.sqrt(width[d]) : 0));
  }

  // In which of `count` folds each picture is held out: every class is dealt out evenly, a group stays together.
  function splitByGroup(labels, groups, count, seed = 0) {
    const random = generator(seed), fold = new Array(labels.length).fill(0);
    let next = 0;
    for (const label of [...new Set(labels)].sort((a, b) => a - b)) {
      const own = [...new Set(groups.filter((_, i) => labels[i] === label))];
      for (const group of shuffled(own, random)) {
        groups.forEach((other, i) => { if (other === group && labels[i] === label) fold[i] = next; });
        next = (next + 1) % count;
      }
    }
    return fold;
  }
  // How many folds there can be: at most five, and each class in every one of them.
  function foldsOf(labels, groups, classes) {
    const counts = Array.from({ length: classes }, (_, k) => new Set(groups.filter((_, i) => labels[i] === k)).size);
    return Math.min(5, ...counts);
  }

  // 95 % interval of a share, `right` of n (Wilson 1927).
  function interval(right, n) {
    const z = 1.959963984540054, share = right / n, below = 1 + z * z / n;
    const middle = (share + z * z / (2 * n)) / below;
    const half = z * Math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / below;
    return [middle - half, middle + half];
  }
  // Paired runs, first - second: mean, spread, interval and verdict as transferlib.compare gives them. `reach` holds
  // half the width of the interval in standard deviations, by the number of runs.
  function compare(first, second, reach) {
    const differences = first.map((value, i) => value - second[i]);
    const middle = mean(differences), sd = spread(differences), half = reach[differences.length] * sd;
    return { n: differences.length, mean: middle, sd, low: middle - half, high: middle + half, clear: middle - half > 0 || middle + half < 0 };
  }

  // A student is what it sees of the pictures: rows, and whether they are standardised on the training ones.
  // Returns the logits of the test pictures, (N, K).
  function trial(student, labels, classes, train, test) {
    let products = student.products, learn = train, ask = test;
    if (student.standardise) {
      const used = [...train, ...test];
      learn = train.map((_, i) => i);
      ask = test.map((_, i) => train.length + i);
      products = gram(standardised(used.map(i => student.rows[i]), learn));
    }
    const probe = linearProbe(part(products, learn), train.map(i => labels[i]), classes);
    return times(part(products, ask, learn), probe.alpha, classes, probe.bias);
  }
  const called = (logits, classes) => Array.from({ length: logits.length / classes }, (_, i) => {
    let best = 0;
    for (let k = 1; k < classes; k++) if (logits[i * classes + k] > logits[i * classes + best]) best = k;
    return best;
  });
  // How far `later` pictures are from the first ones, in standard deviations of each feature, a mean over the features;
  // and how far batches of the first ones are from the rest of them: the quiet days of lesson 12.
  function watch(first, later, { rounds = 20, seed = 0 } = {}) {
    const random = generator(seed), size = Math.min(later.length, Math.floor(first.length / 2)), depth = first[0].length;
    const middle = rows => { const m = new Float64Array(depth); for (const r of rows) for (let d = 0; d < depth; d++) m[d] += r[d] / rows.length; return m; };
    const all = middle(first), width = new Float64Array(depth);
    for (const row of first) for (let d = 0; d < depth; d++) width[d] += (row[d] - all[d]) ** 2 / (first.length - 1);
    const gap = (a, b) => {
      let total = 0, known = 0;
      for (let d = 0; d < depth; d++) if (width[d] > 0) { total += Math.abs(a[d] - b[d]) / Math.sqrt(width[d]); known += 1; }
      return total / Math.max(known, 1);
    };
    const quiet = [], found = [];
    for (let round = 0; round < rounds; round++) {
      const order = shuffled(first, random), rest = middle(order.slice(size));
      quiet.push(gap(middle(order.slice(0, size)), rest));
      found.push(gap(middle(shuffled(later, random).slice(0, size)), rest));
    }
    return { distance: mean(found), quiet: mean(quiet), limit: mean(quiet) + 3 * spread(quiet) };
  }

  window.learning = {
    mean, spread, generator, shuffled, normal, gram, softmax, linearProbe, headOf, predict, evidence, averaged, standardised,
    splitByGroup, foldsOf, interval, compare, trial, called, watch,
  };
})();
