// On a narrow screen code is folded, so that the text and its results can be read in one go.
// Without JavaScript, and on a wide screen, it stays open.
(() => {
  "use strict";
  const SHORT = 3; // lines that are shown in any case
  if (!matchMedia("(max-width: 600px)").matches) return;
  for (const input of document.querySelectorAll("div.cell > .cell_input")) {
    const lines = input.textContent.trimEnd().split("\n").length;
    if (lines <= SHORT) continue;
    const fold = document.createElement("details");
    const summary = document.createElement("summary");
    fold.className = "fold";
    summary.textContent = `Code, ${lines} lines`;
    input.replaceWith(fold);
    fold.append(summary, input);
  }
})();
