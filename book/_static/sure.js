// "How sure are we?": the list without what the reader did not ask for.
(() => {
  "use strict";
  const form = document.getElementById("sure");
  if (!form) return;
  const items = [...document.querySelectorAll("ol.replicated > li")];
  items.forEach((item, index) => { item.value = index + 1; }); // its rank in the whole list
  function show() {
    const lesson = form.elements.lesson.value, fell = form.elements.fell.checked;
    items.forEach(item => {
      item.hidden = (lesson && item.dataset.lesson !== lesson) || (fell && item.dataset.fell !== "1");
    });
    const shown = items.filter(item => !item.hidden).length;
    form.querySelector("output").value = `${shown} of ${items.length} claims`;
  }
  // A link from a lesson leads to one claim: never hide it.
  function find() {
    if (!document.querySelector("ol.replicated > li:target[hidden]")) return;
    form.reset();
    show();
    document.querySelector(":target").scrollIntoView();
  }
  form.addEventListener("input", show);
  form.addEventListener("submit", event => event.preventDefault());
  window.addEventListener("hashchange", find);
  form.hidden = false;
  show();
})();
