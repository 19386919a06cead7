/* Copying: links, messages, JSON, and the tree as a drawing. */

async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element('textarea', { class: 'hidden', 'aria-hidden': 'true' });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  announce(`${what} copied`);
}

/* The conversation up to a node, as training rows have it. */
function messagesTo(model, i) {
  const messages = [];
  for (const at of pathTo(model, i)) {
    messages.push({ role: 'user', content: textOf(model, 'observation', at) });
    if (model.data.nodes.parent[at] < 0) continue;
    const thought = textOf(model, 'thought', at);
    messages.push({ role: 'assistant', content: thought ? `Thought: ${thought}\nAction: ${actionOf(model, at)}` : actionOf(model, at) });
  }
  if (messages.length > 1 && messages[0].content === messages[1].content) messages.shift();
  return messages;
}

function nodeAsJson(model, i) {
  const { nodes } = model.data;
  const number = (name) => (nodes[name] ? nodes[name][i] : null);
  return {
    tree_id: model.data.tree_id, node_id: nodes.id[i], depth: model.depth[i], visits: nodes.visits[i], mean_score: meanOf(model, i), value: number('value'), low: number('low'), high: number('high'),
    ends: nodes.ends[i], observation: textOf(model, 'observation', i), thought: textOf(model, 'thought', i), action: nodes.parent[i] < 0 ? null : actionOf(model, i),
    path: pathTo(model, i).map((at) => nodes.id[at]),
  };
}

function copyMenu(model, i) {
  const entry = (label, what, text) => element('button', { type: 'button', onclick: async (event) => { await copyText(text(), what); event.target.textContent = 'Copied'; setTimeout(() => { event.target.textContent = label; }, 1200); } }, label);
  return element('div', { class: 'copies', role: 'group', 'aria-label': 'Copy' },
    entry('Link', 'Link', () => location.href), entry('Messages', 'Messages', () => JSON.stringify(messagesTo(model, i), null, 2)), entry('JSON', 'Node', () => JSON.stringify(nodeAsJson(model, i), null, 2)));
}

function saveFile(name, kind, text) {
  const address = URL.createObjectURL(new Blob([text], { type: kind }));
  element('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/* The tree as it is folded now, as an SVG. */
function drawnTree(layout, shades) {
  const pad = 16;
  const { bounds } = layout;
  const [width, height] = [bounds.right + 2 * pad, bounds.bottom - bounds.top + HEIGHT + 2 * pad];
  const text = (x, y, words, more) => drawing('text', { x, y: y + 4, 'font-family': 'monospace', 'font-size': 12, fill: shades.ink, ...more }, words);
  const links = layout.items.filter((item) => item.parent).map((item) => {
    const { parent } = item;
    const [x0, middle] = [parent.x + parent.width, (parent.x + parent.width + item.x) / 2];
    const value = item.kind === 'state' ? null : item.look.value;
    return drawing('path', { d: `M${x0} ${parent.y}C${middle} ${parent.y} ${middle} ${item.y} ${item.x} ${item.y}`, fill: 'none', stroke: value === null ? shades.link : linkColour(value), 'stroke-width': item.thickness.toFixed(1), 'stroke-dasharray': item.kind === 'state' ? '5 4' : null });
  });
  const boxes = layout.items.map((item) => {
    if (item.kind === 'state') return text(item.x, item.y, `◇ ${item.label}`, { 'font-style': 'italic', fill: shades.soft });
    const { look } = item;
    return drawing('g', {},
      drawing('rect', { x: item.x, y: item.y - HEIGHT / 2, width: item.width, height: HEIGHT, rx: 6, fill: shades.surface, stroke: item.best ? shades.star : shades.border, 'stroke-width': item.best ? 1.6 : 1 }),
      drawing('rect', { x: item.x, y: item.y - HEIGHT / 2, width: 5, height: HEIGHT, fill: look.colour }),
      text(item.x + 13, item.y, `${look.label}${look.more}`, { 'font-weight': item.best ? 600 : null }),
      text(item.x + 21 + look.labelWidth + look.moreWidth, item.y, `${look.mean}${look.mean && look.ends ? ' ' : ''}${look.ends}${item.hidden ? ` +${item.hidden}` : ''}`, { fill: shades.soft, 'font-size': 11 }));
  });
  const image = drawing('svg', { xmlns: 'http://www.w3.org/2000/svg', viewBox: `${-pad} ${bounds.top - HEIGHT / 2 - pad} ${width} ${height}`, width, height },
    drawing('rect', { x: -pad, y: bounds.top - HEIGHT / 2 - pad, width, height, fill: shades.paper }), links, boxes);
  return new XMLSerializer().serializeToString(image);
}
