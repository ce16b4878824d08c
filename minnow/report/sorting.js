for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const key = row => row.cells[index].dataset.value ?? row.cells[index].textContent;
    const compared = (a, b) => {
      const missing = [a, b].map(value => value === "-" || value === "");
      if (missing[0] || missing[1]) return missing[0] - missing[1];
      const gap = Number(a) - Number(b);
      return sign * (Number.isNaN(gap) ? a.localeCompare(b) : gap);
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => compared(key(a), key(b)));
    table.tBodies[0].append(...rows);
  }));
}
