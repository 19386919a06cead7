/* Tool calls in a text: `name {"argument": …}` lines at its end become a name and its arguments, as code. */

const CALL_LINE = /^[\w.:\/-]{1,200}(?: (\{.*\}))?$/u;

function readCall(line) {
  const found = line.length < 1e6 && line.match(CALL_LINE);
  if (!found) return null;
  try {
    return { name: line.split(' ', 1)[0], values: found[1] ? JSON.parse(found[1]) : {}, certain: Boolean(found[1]) };
  } catch {
    return null;
  }
}

/* What is said, and the calls after it; a line without arguments is a call only beside one that has some. */
function splitCalls(text) {
  const lines = text.split('\n');
  let start = lines.length;
  while (start > 0 && readCall(lines[start - 1])) start -= 1;
  const calls = lines.slice(start).map(readCall);
  return calls.some((call) => call.certain) ? [lines.slice(0, start).join('\n'), calls] : [text, []];
}

const valueText = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

/* A call beside the one that it is compared with: only arguments that differ are marked. */
function callParts(call, other, side) {
  const same = other && other.name === call.name;
  const row = ([name, value]) => {
    const text = valueText(value);
    const their = same && name in other.values ? valueText(other.values[name]) : null;
    const differs = other && text !== their;
    const parts = !differs ? text : their === null ? element('mark', {}, text) : side ? differingWords(their, text)[1] : differingWords(text, their)[0];
    return element('div', { class: differs ? 'argument differs' : 'argument' }, element('span', { class: 'key' }, name),
      element('div', {}, clamped(element('code', { class: 'text', dir: 'auto' }, parts))));
  };
  return element('div', { class: 'call' }, element('div', { class: 'call-name' }, other && !same ? element('mark', {}, call.name) : call.name), Object.entries(call.values).map(row));
}

/* A text with its calls; `null` if it has none. */
function withCalls(text, otherText = null, side = 0) {
  const [said, calls] = splitCalls(text);
  if (!calls.length) return null;
  const [theirs, others] = otherText === null ? [null, []] : splitCalls(otherText);
  const words = theirs === null ? said : differingWords(side ? theirs : said, side ? said : theirs)[side];
  const compared = (i) => (otherText === null ? null : others[i] || { name: '', values: {} });
  return [said.trim() ? element('div', { class: 'text', dir: 'auto' }, words) : null, calls.map((call, i) => callParts(call, compared(i), side))];
}
