// Lesson 4: one picture, its preprocessing spoiled by the reader, and what she says of it then.
(() => {
  "use strict";
  const root = document.getElementById("spoil");
  if (!root) return;
  const told = JSON.parse(document.getElementById("teach-data").textContent);
  const examples = JSON.parse(document.getElementById("spoil-data").textContent);
  const find = what => root.querySelector(what), form = find("form"), say = find(".verdict"), canvas = find("canvas");
  const percent = share => `${Math.round(100 * share)}\u00a0%`;
  const SIZE = 128, SMALL = 64, MEAN = [0.485, 0.456, 0.406], SPREAD = [0.229, 0.224, 0.225];
  let image = null, right = null, awake = false;

  // Her own scaling is (x - 127) / 128 and stands inside her: to make her read v, she is given 127 + 128 v.
  const WAYS = {
    right: x => x,
    family: (x, colour) => 127 + 128 * (x / 255 - MEAN[colour]) / SPREAD[colour],
    half: x => 127 + 128 * x / 255,
    raw: x => 127 + 128 * x,
  };
  function fed({ scaling, swapped, squeezed, small }) {
    const size = small ? SMALL : SIZE, pixels = (squeezed ? pictures.squeezed : pictures.square)(image, size);
    return { size, values: Float32Array.from(pixels, (_, i) => WAYS[scaling](pixels[swapped ? i + 2 - 2 * (i % 3) : i], i % 3)) };
  }
  const asTrained = { scaling: "right", swapped: false, squeezed: false, small: false };
  const asked = () => ({
    scaling: form.elements.scaling.value,
    swapped: form.elements.swapped.checked, squeezed: form.elements.squeezed.checked, small: form.elements.small.checked,
  });
  const answer = async ({ values, size }) => her.words(learning.averaged(await her.look(values, size), her.told().features), 3);

  function headline(strong, text) {
    say.hidden = false;
    const first = document.createElement("strong"), rest = document.createElement("p");
    first.append(strong);
    rest.append(text);
    say.replaceChildren(first, rest);
  }
  function bar({ word, sure }, best) {
    const item = document.createElement("li"), length = document.createElement("span");
    item.className = best ? "best" : "";
    length.className = "bar";
    length.style.width = `${100 * sure}%`;
    item.append(`${word} ${percent(sure)}`, length);
    return item;
  }
  const show = her.newest(async stale => {
    if (!image) return;
    const { values, size } = fed(asked());
    pictures.show(Uint8ClampedArray.from(values), size, canvas);
    if (!awake) return;
    right ??= (await answer(fed(asTrained)))[0];
    const words = await answer({ values, size }), [best] = words, same = best.word === right.word;
    if (stale()) return;
    headline(`“${best.word}”, ${percent(best.sure)}`, `As trained, she says “${right.word}”, ${percent(right.sure)}. `
      + (same ? Math.abs(best.sure - right.sure) < 0.005 ? "Nothing has changed." : "The word holds, her sureness moves." : "Another word, and nothing complained."));
    find(".answers").replaceChildren(...words.map((word, i) => bar(word, !i)));
  });
  async function take(file, button) {
    root.querySelectorAll(".pick").forEach(one => one.setAttribute("aria-pressed", String(one === button)));
    try {
      image = await pictures.decode(file);
    } catch (error) {
      return headline("This one cannot be used", error.message);
    }
    right = null;
    await show();
  }
  const file = ({ name, jpeg }) => new File([Uint8Array.from(atob(jpeg), c => c.charCodeAt(0))], name);
  const buttons = examples.map(example => {
    const button = document.createElement("button"), picture = document.createElement("img");
    Object.assign(button, { type: "button", className: "pick" });
    Object.assign(picture, { alt: example.name, src: `data:image/jpeg;base64,${example.jpeg}`, height: 56 });
    button.append(picture);
    button.addEventListener("click", () => take(file(example), button));
    return button;
  });
  find(".choice").replaceWith(...buttons);
  find("input[type=file]").addEventListener("change", event => { if (event.target.files.length) void take(event.target.files[0]); event.target.value = ""; });
  form.addEventListener("input", () => void show());
  form.addEventListener("submit", event => event.preventDefault());
  const wake = find(".wake");
  if (Object.keys(told.scripts).length && window.WebAssembly && window.DecompressionStream) {
    const megabytes = Math.round(Object.values(told.scripts).reduce((a, b) => a + b, 0) / 1e6);
    wake.append(`: ${megabytes} MB, from this site, once`);
    wake.addEventListener("click", async () => {
      const progress = find("progress");
      wake.disabled = true;
      progress.hidden = false;
      try {
        await her.wake(told, share => { progress.value = share; });
        awake = true;
        wake.parentElement.remove();
        await show();
      } catch (error) {
        headline("She could not be woken here", error.message);
        wake.disabled = false;
      }
      progress.hidden = true;
    });
  } else {
    wake.parentElement.remove();
    headline("She cannot be woken here", told.why ? "This copy of the site was built without what runs networks in a page." : "This browser is too old to run a network in a page.");
  }
  root.hidden = false;
  void take(file(examples[0]), buttons[0]);
  window.spoil = { fed, answer, asked }; // for the tests
})();
