// Comforts only: everything can be read without this script.
(function () {
  var tip = document.createElement('div');
  tip.id = 'tip';
  document.body.appendChild(tip);
  document.querySelectorAll('svg title').forEach(function (title) {
    title.parentNode.tip = title.textContent;
    title.remove();
  });
  document.addEventListener('mousemove', function (event) {
    var text = event.target.tip;
    tip.style.display = text ? 'block' : 'none';
    if (!text) return;
    tip.textContent = text;
    var x = event.clientX + 14, y = event.clientY + 14;
    if (x + tip.offsetWidth > innerWidth - 8) x = event.clientX - tip.offsetWidth - 10;
    if (y + tip.offsetHeight > innerHeight - 8) y = event.clientY - tip.offsetHeight - 10;
    tip.style.left = Math.max(4, x) + 'px';
    tip.style.top = Math.max(4, y) + 'px';
  });

  function key(row, column) {
    var text = row.cells[column].textContent.trim(), number = parseFloat(text.replace(/,/g, ''));
    return row.cells[column].classList.contains('n') ? (isNaN(number) ? Infinity : number) : text;
  }
  document.querySelectorAll('table.sorts').forEach(function (table) {
    table.querySelectorAll('th').forEach(function (head, column) {
      head.addEventListener('click', function () {
        var up = head.getAttribute('aria-sort') !== 'ascending', body = table.tBodies[0];
        table.querySelectorAll('th').forEach(function (other) { other.removeAttribute('aria-sort'); });
        head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
        Array.from(body.rows).map(function (row) { return [key(row, column), row]; })
          .sort(function (a, b) { return (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0) * (up ? 1 : -1); })
          .forEach(function (pair) { body.appendChild(pair[1]); });
      });
    });
  });
  document.querySelectorAll('input[data-filters]').forEach(function (input) {
    input.hidden = false;
    input.addEventListener('input', function () {
      var words = input.value.toLowerCase().split(/\s+/);
      Array.from(document.getElementById(input.dataset.filters).tBodies[0].rows).forEach(function (row) {
        var text = row.textContent.toLowerCase();
        row.hidden = !words.every(function (word) { return text.includes(word); });
      });
    });
  });
})();
