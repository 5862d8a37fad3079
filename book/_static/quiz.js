// Quizzes answer at once and remember, in this browser only. Without JavaScript they are plain <details>.
(() => {
  "use strict";
  const KEY = "head-start-quizzes";
  const store = {
    read() { try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; } },
    write(all) { try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { /* private window: nothing is kept */ } },
  };
  const lesson = location.pathname.split("/").pop().replace(/\.html$/, "");

  // A question is a paragraph and the run of answers after it; one of them begins with "Yes".
  function questions(section) {
    const found = [];
    for (let node = section.firstElementChild; node; node = node.nextElementSibling) {
      if (node.tagName === "DETAILS") { if (found.length) found[found.length - 1].answers.push(node); }
      else found.push({ text: node.textContent, answers: [] });
    }
    return found.filter(({ answers }) => answers.length > 1 && answers.some(right));
  }
  function right(answer) {
    const summary = answer.querySelector("summary");
    return /^\s*Yes\b/.test(answer.textContent.slice(answer.textContent.indexOf(summary.textContent) + summary.textContent.length));
  }

  function mark(asked, first) {
    asked.forEach(({ answers }, number) => answers.forEach((answer, i) => {
      answer.classList.remove("right", "wrong");
      if (answer.open || first[number] === i) answer.classList.add(right(answer) ? "right" : "wrong");
    }));
  }

  function tick() { // lessons whose quiz is done, in the navigation
    const all = store.read();
    for (const link of document.querySelectorAll(".bd-links a")) {
      const name = link.href.split("#")[0].split("/").pop().replace(/\.html$/, "");
      link.classList.toggle("done", Boolean(all[name] && all[name].done));
    }
  }

  function start(section) {
    const asked = questions(section);
    if (!asked.length) return;
    const box = document.createElement("p");
    box.className = "quiz-score";
    box.setAttribute("role", "status");
    section.append(box);
    let first = (store.read()[lesson] || {}).first || {};

    const show = () => {
      mark(asked, first);
      const answered = Object.keys(first).length;
      const good = asked.filter(({ answers }, n) => n in first && right(answers[first[n]])).length;
      const words = document.createElement("span");
      words.append(answered ? `${good} of ${asked.length} right at the first try`
        + (answered < asked.length ? `, ${asked.length - answered} to go.` : ". Remembered in this browser only.") : "");
      box.replaceChildren(words);
      if (answered) {
        const again = document.createElement("button");
        again.type = "button";
        again.append("Start again");
        again.addEventListener("click", () => {
          first = {};
          asked.forEach(({ answers }) => answers.forEach(answer => { answer.open = false; }));
          save();
        });
        box.append(again);
      }
    };
    const save = () => {
      const all = store.read();
      if (Object.keys(first).length) all[lesson] = { first, done: Object.keys(first).length === asked.length };
      else delete all[lesson];
      store.write(all);
      show();
      tick();
    };
    asked.forEach(({ answers }, number) => answers.forEach((answer, i) => {
      answer.addEventListener("toggle", () => {
        if (answer.open && !(number in first)) { first[number] = i; save(); } else show();
      });
    }));
    show();
  }

  const section = document.getElementById("check-yourself");
  if (section) start(section);
  tick();
})();
