/* The tree from top to bottom, for narrow screens: one line per step, and only alternatives are indented. */

const NARROW = matchMedia('(max-width: 760px)');
const DEEPEST_INDENT = 7;

/* On a narrow screen the tree and the panel take turns. */
const showsOutline = (place) => NARROW.matches && (place.tab === 'tree' || !(place.tab || place.node || place.rollout || place.pair));

/* Rows in reading order; a row is indented below every parent that has alternatives. */
function outlineRows(model) {
  const rows = [];
  const waiting = [{ item: visibleItems(model), indent: 0 }];
  while (waiting.length) {
    const { item, indent } = waiting.pop();
    describe(model, item);
    rows.push({ item, indent });
    const deeper = indent + (item.children.length > 1 || item.kind === 'state' ? 1 : 0);
    for (const child of [...item.children].reverse()) waiting.push({ item: child, indent: deeper });
  }
  return rows;
}

function outlineRow(model, { item, indent }, pinned) {
  const style = { paddingLeft: `${4 + 13 * Math.min(indent, DEEPEST_INDENT)}px` };
  if (item.kind === 'state') return element('p', { class: 'outline-state', style, dir: 'auto' }, `◇ ${item.group.reduce((sum, i) => sum + model.data.nodes.visits[i], 0)} saw ${stateText(model, item.group)}`);
  const i = item.chain[0];
  const { nodes, paths } = model.data;
  const best = paths.length && model.best.has(item.node);
  const facts = [item.chain.length > 1 ? `then ${plural(item.chain.length - 1, 'more step')}` : null, nodes.visits[i] > 1 ? `×${nodes.visits[i]}` : null, item.look.ends || item.look.mean].filter(Boolean).join(' · ');
  const named = item.hidden ? `Unfold ${plural(item.hidden, 'node')} below ${item.look.label}` : `Fold what is below ${item.look.label}`;
  return element('div', { class: 'outline-row', style },
    element('button', { class: 'row', type: 'button', 'aria-current': item.chain.includes(pinned) ? 'true' : null, onclick: () => go({ node: nodes.id[i], tab: null, rollout: null }) },
      swatch(meanOf(model, item.node)), element('span', { class: 'words' }, element('span', { class: 'label code', dir: 'auto' }, briefOf(model, i) || '(empty)'),
        element('span', { class: 'tail' }, best ? element('b', { class: 'best', 'aria-label': 'on e*' }, '★ ') : null, facts))),
    item.foldable ? element('button', { class: 'quiet', type: 'button', 'aria-expanded': String(!item.hidden), 'aria-label': named, onclick: () => stage.toggle(item.node) }, item.hidden ? `+${item.hidden}` : '–') : null);
}

function buildOutline() {
  const tool = (label, act) => element('button', { class: 'quiet', type: 'button', onclick: act }, label);
  const find = element('input', { class: 'field', type: 'search', id: 'find-step', placeholder: 'Find in tree', 'aria-label': 'Find steps of this tree that contain a text' });
  find.addEventListener('input', () => go({ find: find.value.trim() || null, node: null, tab: null }));
  return element('div', { class: 'outline', id: 'outline', role: 'region', 'aria-label': 'Trajectory tree', hidden: true },
    element('div', { class: 'outline-tools' }, viewChoice('tree'), tool('Fold', () => stage.foldAll(true)), tool('Unfold', () => stage.foldAll(false)), tool('Next decision', () => goToDecision(1)), find),
    element('div', { id: 'outline-rows' }));
}

/* The rows of the tree, or those of the steps that were searched for. */
function showOutline(model, pinned) {
  const { find } = current.place;
  if (byId('find-step').value.trim() !== (find || '')) byId('find-step').value = find || '';
  const found = find ? findInTree(model, find).slice(0, 500) : null;
  byId('outline-rows').replaceChildren(...(found ? found.map((i) => nodeRow(model, i, pinned)) : outlineRows(model).map((row) => outlineRow(model, row, pinned))));
  if (found && !found.length) byId('outline-rows').replaceChildren(element('p', { class: 'empty' }, 'No step contains this text.'));
}
