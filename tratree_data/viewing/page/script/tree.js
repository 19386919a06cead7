/* The page of one tree: heading, canvas with its tools, and the panel beside it. */

let stage = null;

function buildTreePage() {
  const section = byId('tree');
  const container = element('div', { class: 'stage', id: 'stage', tabindex: '0', role: 'application', 'aria-label': 'Trajectory tree: arrow keys move, Enter folds', 'aria-roledescription': 'tree', 'aria-owns': 'crowd' });
  const find = element('input', { class: 'field', type: 'search', id: 'find', placeholder: 'Find in tree', 'aria-label': 'Find text in this tree; press Enter for the next match' });
  const found = element('span', { class: 'number', id: 'find-count', role: 'status' });
  const tool = (label, text, act, className = '') => element('button', { class: `quiet ${className}`, type: 'button', title: label, 'aria-label': label, onclick: act }, text);
  section.replaceChildren(
    element('div', { class: 'heading', id: 'heading' }), container,
    element('aside', { class: 'side', 'aria-label': 'Details' },
      element('div', { class: 'tabs' }, element('div', { class: 'choices', role: 'tablist', 'aria-label': 'Details' }, ['path', 'rollouts', 'pairs'].map((name) => element('button', {
        type: 'button', role: 'tab', id: `tab-${name}`, 'aria-controls': 'side-body', onclick: () => go({ tab: name }),
      }, { path: 'Path', rollouts: 'Rollouts', pairs: 'Pairs' }[name])))),
      element('div', { class: 'side-body', id: 'side-body', role: 'tabpanel', tabindex: '0' })));
  stage = makeStage(container, { onPick: pick, onLeave: () => { location.hash = ''; } });
  container.append(
    element('div', { class: 'floating tools-left' }, tool('Zoom out (−)', '−', () => stage.zoom(0.8), 'wide'), tool('Zoom in (+)', '+', () => stage.zoom(1.25), 'wide'), tool('Fit the whole tree (F)', 'Fit', () => stage.fit(true)),
      tool('Show every step, or join steps without an alternative', 'Steps', () => stage.openAll(!current.model.opened.size), 'wide'), tool('Fold everything but e*', 'Fold', () => stage.foldAll(true)), tool('Unfold everything', 'Unfold', () => stage.foldAll(false)), find, found),
    element('div', { class: 'floating legend', id: 'legend' }));
  let matches = [];
  let at = -1;
  find.addEventListener('input', () => {
    matches = findInTree(current.model, find.value);
    at = -1;
    stage.showMatches(matches.length ? new Set(matches) : null);
    found.textContent = find.value.trim() ? count(matches.length) : '';
  });
  find.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { find.value = ''; find.dispatchEvent(new Event('input')); container.focus(); }
    if (event.key !== 'Enter' || !matches.length) return;
    at = (at + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
    found.textContent = `${at + 1} of ${count(matches.length)}`;
    pick(matches[at]);
  });
  byId('compare').addEventListener('close', () => { if (current.place.pair) go({ pair: null }); });
}

function findInTree(model, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const holds = model.data.texts.map((known) => known.toLowerCase().includes(wanted));
  const { nodes } = model.data;
  return nodes.id.map((_, i) => i).filter((i) => holds[nodes.observation[i]] || holds[nodes.thought[i]] || holds[nodes.action[i]]);
}

function fillLegend() {
  const ramp = element('span', { class: 'ramp', style: { background: `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(colour).join(', ')})` } });
  const entry = (...parts) => element('span', {}, parts);
  byId('legend').replaceChildren(...[entry('mean score 0', ramp, '1'), entry('width: rollouts'), entry('■ end: mean score'), current.model.states.some((states) => states.length > 1) ? entry('◇ state of the environment') : null,
    current.model.data.paths.length ? entry(element('b', { style: { color: 'var(--star)' } }, '★'), 'e*, the best path') : null].filter(Boolean));
}

function showHeading(model, task) {
  const { data } = model;
  const figure = (name, value) => element('div', {}, element('dt', {}, name), element('dd', {}, value));
  const instruction = written('p', 'instruction', textOf(model, 'observation', 0));
  instruction.addEventListener('click', () => { instruction.classList.toggle('open'); stage.redraw(); });
  const figures = [figure('rollouts', count(data.rollouts.id.length)), figure('nodes', count(data.node_count)), figure('mean score', score(meanOf(model, 0)))];
  const attempts = data.nodes.scored_visits[0];
  if (task) figures.push(figure('solved', `${count(task.solved)} of ${count(task.attempts)}`));
  if (data.paths.length) figures.push(figure('e*', [element('span', { style: { color: 'var(--star)' } }, '★ '), `${score(data.paths[0].value)}, ${count(data.paths[0].support)} of ${count(attempts)} rollout${attempts === 1 ? '' : 's'}`]));
  byId('heading').replaceChildren(...[instruction, element('dl', { class: 'figures' }, figures),
    data.node_count > model.size ? element('p', { class: 'soft' }, `This page shows the ${count(model.size)} most visited of ${count(data.node_count)} nodes.`) : null].filter(Boolean));
}

/* Shows what the address names: a tab, a node, a rollout, a pair. */
function showTree(model, place, fresh) {
  const { data } = model;
  if (fresh) {
    showHeading(model, current.overview.tasks.find((task) => task.tree_id === data.tree_id));
    byId('find').value = '';
    byId('find-count').textContent = '';
    stage.open(model);
    fillLegend();
  }
  const rollout = data.rollouts.id.indexOf(place.rollout);
  const pair = data.pairs.find((known) => known.pair_id === place.pair);
  const tab = place.tab || (pair ? 'pairs' : 'path');
  for (const name of ['path', 'rollouts', 'pairs']) byId(`tab-${name}`).setAttribute('aria-selected', String(name === tab));
  byId('tab-pairs').hidden = !current.overview.tables.includes('pairs');
  const trails = [];
  if (data.paths.length) trails.push({ nodes: data.paths[0].nodes, shade: 'star' });
  if (rollout >= 0) trails.push({ nodes: data.steps[rollout].node.filter((i) => i >= 0), shade: 'focus', fades: true });
  if (pair) {
    const sideNodes = (number, child) => (number < 0 ? [] : data.steps[number].node.slice(Math.max(0, data.steps[number].node.indexOf(child))));
    trails.push({ nodes: sideNodes(pair.rejected_rollout, pair.rejected_node), shade: 'worse', fades: true }, { nodes: sideNodes(pair.chosen_rollout, pair.chosen_node), shade: 'better', fades: true });
  }
  stage.showTrails(trails);
  const node = model.numberOf.has(place.node) ? model.numberOf.get(place.node) : 0;
  stage.pin(pair && pair.chosen_node >= 0 && !place.node ? pair.chosen_node : node, { centre: fresh && Boolean(place.node) });
  if (tab === 'rollouts') showRollouts(model);
  else if (tab === 'pairs') showPairs(model);
  else showNode(model, node);
  if (pair) showPair(model, pair);
  else if (byId('compare').open) byId('compare').close();
  announce(place.pair ? '' : spoken(model, node));
}
