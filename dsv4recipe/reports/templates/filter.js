// Reading needs no script: this only narrows the override patterns to those that a typed name fits.
const box = document.getElementById("filter");
const inRange = (braces, number) => braces.slice(1, -1).split(",").some((range) => {
  const [first, last = first] = range.split("-").map(Number);
  return first <= number && number <= last;
});
const fits = (have, want, edge) => have === want || (edge && have.includes(want))
  || (have[0] === "{" && /^\d+$/.test(want) && inRange(have, Number(want)));
const means = (pattern, typed) => {
  const words = pattern.split("."), wanted = typed.split(".");
  return words.some((_, start) => start + wanted.length <= words.length
    && wanted.every((want, n) => fits(words[start + n], want, n === 0 || n === wanted.length - 1)));
};
if (box) {
  box.hidden = false;
  box.querySelector("input").addEventListener("input", (event) => {
    const typed = event.target.value.trim();
    for (const group of document.querySelectorAll(".overrides details")) {
      let shown = 0;
      for (const row of group.querySelectorAll("li")) {
        row.hidden = typed !== "" && !means(row.dataset.pattern, typed);
        shown += row.hidden ? 0 : 1;
      }
      group.hidden = shown === 0;
      group.open = typed !== "" && shown > 0;
    }
  });
}
