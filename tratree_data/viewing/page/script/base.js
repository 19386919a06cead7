/* Helpers for the whole page: elements made from text only (never from markup), numbers and colours. */

const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'style') Object.assign(node.style, value);
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

const element = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const drawing = (tag, attributes, ...children) => fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);
/* Text that a model or an environment wrote; its direction does not affect the text around it. */
const written = (tag, className, text) => element(tag, { class: `text ${className || ''}`, dir: 'auto' }, text);

const score = (value) => (value === null || value === undefined ? '–' : value.toFixed(2));
const count = (value) => (value === null || value === undefined ? '–' : value.toLocaleString('en'));
const plural = (value, word) => `${count(value)} ${word}${value === 1 ? '' : 's'}`;
const signed = (value) => (value >= 0 ? '+' : '−') + Math.abs(value).toFixed(2);

/* One line for the canvas: invisible characters, and those that would reorder the line, are replaced by a mark. */
function oneLine(text) {
  return text.replace(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/gu, '⏎').replace(/\t/gu, ' ').replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, '�');
}

function mix(value) {
  if (value === null || value === undefined) return null;
  const at = Math.min(Math.max(value, 0), 1);
  for (let i = 1; i < settings.scale.length; i += 1) {
    const [low, from] = settings.scale[i - 1];
    const [high, to] = settings.scale[i];
    if (at <= high) return from.map((part, j) => Math.round(part + ((to[j] - part) * (at - low)) / (high - low)));
  }
  return null;
}

const isDark = () => document.documentElement.dataset.theme === 'dark';

/* The colour of a value; the dark theme uses a lighter scale. */
function colour(value) {
  const mixed = mix(value);
  if (!mixed) return isDark() ? '#6d685f' : '#b9b3a8';
  const lifted = isDark() ? mixed.map((part) => Math.round(part + (255 - part) * 0.28)) : mixed;
  return `rgb(${lifted.join(' ')})`;
}

/* Links are broad, so they use a paler shade. */
function linkColour(value) {
  const towards = isDark() ? 23 : 247;
  return `rgb(${mix(value).map((part) => Math.round(part + (towards - part) * 0.4)).join(' ')})`;
}

const swatch = (value) => element('span', { class: 'swatch', style: { background: colour(value) }, 'aria-hidden': 'true' });
const announce = (text) => { byId('announcer').textContent = text; };
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/* Marks a text wherever an element shows it. */
function markIn(node, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return;
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode() && found.length < 500) if (walker.currentNode.data.toLowerCase().includes(wanted)) found.push(walker.currentNode);
  for (const piece of found) {
    let rest = piece;
    for (let at = rest.data.toLowerCase().indexOf(wanted); at >= 0; at = rest.data.toLowerCase().indexOf(wanted)) {
      const hit = rest.splitText(at);
      rest = hit.splitText(wanted.length);
      const mark = element('mark', { class: 'hit' });
      hit.replaceWith(mark);
      mark.append(hit);
    }
  }
}

const MOST_DEEP = 200;

/* A text as JSON; `null` if it is not, or nested too deeply to be written as text again. */
function readJson(text) {
  let value = null;
  try { value = JSON.parse(text); } catch { return null; }
  let level = [value];
  for (let depth = 0; depth < MOST_DEEP && level.length; depth += 1) level = level.flatMap((part) => (part && typeof part === 'object' ? Object.values(part) : []));
  return level.length ? null : value;
}

const LONGEST_TEXT = 20000;

/* Long text is cut, with a button that shows all of it; very long text is not even laid out until then, unless it was searched for. */
function clamped(node) {
  node.classList.add('clamp');
  const { textContent: text } = node;
  const huge = text.length > LONGEST_TEXT && !(current.place.find && text.toLowerCase().includes(current.place.find.toLowerCase()));
  const whole = huge ? [...node.childNodes] : null;
  if (huge) node.replaceChildren(text.slice(0, 3000));
  const button = element('button', { class: 'unclamp', type: 'button', hidden: !huge }, huge ? `Show all ${count(text.length)} characters` : 'Show all');
  button.addEventListener('click', () => { if (whole) node.replaceChildren(...whole); node.classList.remove('clamp'); button.remove(); });
  if (!huge) requestAnimationFrame(() => { button.hidden = node.scrollHeight <= node.clientHeight + 2; });
  return [node, button];
}

/* The words in which two texts differ, by the longest common subsequence between their equal beginnings and ends. */
function differingWords(first, second) {
  const [a, b] = [first, second].map((text) => text.match(/\s+|[^\s]+/gu) || []);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const [p, q] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  const keepFirst = new Set();
  const keepSecond = new Set();
  if (p.length * q.length <= 400000) {
    const best = Array.from({ length: p.length + 1 }, () => new Uint16Array(q.length + 1));
    for (let i = p.length - 1; i >= 0; i -= 1) {
      for (let j = q.length - 1; j >= 0; j -= 1) best[i][j] = p[i] === q[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    }
    for (let i = 0, j = 0; i < p.length && j < q.length;) {
      if (p[i] === q[j]) { keepFirst.add(i); keepSecond.add(j); i += 1; j += 1; } else if (best[i + 1][j] >= best[i][j + 1]) i += 1; else j += 1;
    }
  }
  const marked = (words, middle, keep) => {
    const differs = middle.map((word, i) => !keep.has(i) && word.trim() !== '');
    const parts = [words.slice(0, start).join('')];
    for (let i = 0; i < middle.length;) {
      let stop = i + 1;
      if (differs[i]) while (differs[stop] || (differs[stop + 1] && !middle[stop].includes('\n'))) stop += 1;
      const text = middle.slice(i, stop).join('');
      parts.push(differs[i] ? element('mark', {}, text) : text);
      i = stop;
    }
    return [...parts, words.slice(words.length - end).join('')];
  };
  return [marked(a, p, keepFirst), marked(b, q, keepSecond)];
}
