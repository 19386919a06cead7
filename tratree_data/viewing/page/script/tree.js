/* The page of one tree: heading, canvas with its tools, and the panel beside it. */

let stage = null;
let graphStage = null;
const TABS = { path: 'Path', decisions: 'Decisions', rollouts: 'Rollouts', pairs: 'Pairs', merges: 'Merges' };

function buildTreePage() {
  const section = byId('tree');
  const container = element('div', { class: 'stage', id: 'stage', tabindex: '0', role: 'application', 'aria-label': 'Trajectory tree: arrow keys move, Enter folds', 'aria-roledescription': 'tree', 'aria-owns': 'crowd' });
  const find = element('input', { class: 'field', type: 'search', id: 'find', placeholder: 'Find in tree', 'aria-label': 'Find text in this tree; press Enter for the next match' });
  const found = element('span', { class: 'number', id: 'find-count', role: 'status' });
  const tool = (label, text, act, className = '') => element('button', { class: `quiet ${className}`, type: 'button', title: label, 'aria-label': /[A-Za-z]/u.test(text) ? null : label, onclick: act }, text);
  const graphBox = element('div', { class: 'stage', id: 'graph-stage', tabindex: '0', role: 'application', 'aria-label': 'State graph: arrow keys follow the most frequent actions', hidden: true });
  const outline = buildOutline();
  section.replaceChildren(
    element('div', { class: 'heading', id: 'heading' }), container, outline, graphBox,
    element('aside', { class: 'side', 'aria-label': 'Details' },
      element('div', { class: 'tabs' }, element('div', { class: 'choices', role: 'tablist', 'aria-label': 'Details' }, Object.entries({ tree: 'Tree', ...TABS }).map(([name, label]) => element('button', {
        type: 'button', role: 'tab', id: `tab-${name}`, title: TABS_MEAN[name], 'aria-controls': 'side-body', onclick: () => go({ tab: name === 'path' && !NARROW.matches ? null : name }),
      }, label)))),
      element('div', { class: 'side-body', id: 'side-body', role: 'tabpanel', tabindex: '0' })));
  stage = makeStage(container, { onPick: pick, onLeave: () => { location.hash = ''; }, onChange: () => { if (!byId('outline').hidden) showOutline(current.model, current.model.numberOf.get(current.place.node) ?? 0); } });
  NARROW.addEventListener('change', () => { if (current.model) showTree(current.model, current.place, true); });
  container.append(
    element('div', { class: 'floating tools-left' }, viewChoice('tree'), tool('Zoom out (−)', '−', () => stage.zoom(0.8), 'wide'), tool('Zoom in (+)', '+', () => stage.zoom(1.25), 'wide'), tool('Fit the whole tree (F)', 'Fit', () => stage.fit(true)),
      tool('Show every step, or join steps without an alternative', 'Steps', () => stage.openAll(!current.model.opened.size), 'wide'), tool('Fold everything but e*', 'Fold', () => stage.foldAll(true)), tool('Unfold everything', 'Unfold', () => stage.foldAll(false)),
      tool('Go to the decision with the best supported difference (N)', 'Next decision', () => goToDecision(1), 'wide'),
      tool('Save what is drawn as an SVG', 'SVG', () => saveFile(`${current.model.data.tree_id.slice(0, 8)}.svg`, 'image/svg+xml', drawnTree(stage.inside(), stage.shades())), 'wide'), find, found),
    element('div', { class: 'floating legend', id: 'legend' }));
  graphStage = makeGraphStage(graphBox, (state) => go({ state: current.model.data.graph.id[state] }), () => { location.hash = ''; });
  graphBox.append(
    element('div', { class: 'floating tools-left' }, viewChoice('graph'), tool('Zoom out (−)', '−', () => graphStage.zoom(0.8), 'wide'), tool('Zoom in (+)', '+', () => graphStage.zoom(1.25), 'wide'), tool('Fit the whole graph (F)', 'Fit', () => graphStage.fit(true))),
    element('div', { class: 'floating legend', id: 'graph-legend' }));
  let matches = [];
  let at = -1;
  find.addEventListener('input', () => {
    matches = findInTree(current.model, find.value);
    at = -1;
    found.textContent = find.value.trim() ? count(matches.length) : '';
    go({ find: find.value.trim() || null });
  });
  find.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { find.value = ''; find.dispatchEvent(new Event('input')); container.focus(); }
    if (event.key !== 'Enter' || !matches.length) return;
    at = (at + (event.shiftKey ? matches.length - 1 : 1)) % matches.length;
    found.textContent = `${at + 1} of ${count(matches.length)}`;
    pick(matches[at]);
  });
  byId('compare').addEventListener('close', () => { if (current.place.pair || current.place.with) go({ pair: null, with: null }); });
}

/* Tree or graph; switching keeps the place: the state of the selected node, or the first node of the selected state. */
function viewChoice(here) {
  const change = { tree: () => go({ view: null, state: null }), graph: () => go({ view: 'graph', tab: null, state: null }) };
  return element('div', { class: 'choices views', role: 'group', 'aria-label': 'View' }, [['tree', 'Tree'], ['graph', 'Graph']].map(([name, label]) => element('button', { type: 'button', 'aria-pressed': String(name === here), onclick: change[name] }, label)));
}

function showGraph(model, place) {
  graphStage.open(model);
  const { graph } = model.data;
  const ramp = element('span', { class: 'ramp', style: { background: `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map(colour).join(', ')})` } });
  byId('graph-legend').replaceChildren(...(model.graph.known ? ['far from a solved end, or none', ramp, 'one step before it'] : ['mean score 0', ramp, '1']).map((part) => element('span', {}, part)), element('span', {}, 'links: mean score, width: times taken'));
  const node = model.numberOf.get(place.node) ?? 0;
  const asked = graph.id.indexOf(place.state);
  const state = asked >= 0 ? asked : Math.max(0, stateOfNode(model, node || model.data.nodes.parent.indexOf(0)));
  graphStage.pin(state);
  showState(model, state);
  announce(`State, ${plural(graph.visits[state], 'visit')}, mean return ${score(graph.value[state])}`);
}

/* The nodes with a dotted border: those that were searched for, or those into which differing steps were merged. */
function markedNodes(model, place, tab) {
  const marked = place.find ? findInTree(model, place.find) : tab === 'merges' ? mergesOf(model).map((merge) => merge.node) : [];
  return marked.length ? new Set(marked) : null;
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
  byId('legend').replaceChildren(...[current.model.scored ? entry('mean score 0', ramp, '1') : entry('no scores'), entry('width: rollouts'), entry(current.model.scored ? '■ end: mean score' : '■ end'), current.model.states.some((states) => states.length > 1) ? entry('◇ ', word('state', 'state of the environment')) : null,
    current.model.data.paths.length ? entry(element('b', { style: { color: 'var(--star)' } }, '★'), word('e*', 'e*, the best path')) : null].filter(Boolean));
}

function showHeading(model, task) {
  const { data } = model;
  const figure = (name, value) => element('div', {}, element('dt', {}, word(name, value === '1' ? name.replace(/s$/u, '') : name)), element('dd', {}, value));
  const instruction = written('p', 'instruction', textOf(model, 'observation', 0));
  instruction.addEventListener('click', () => { instruction.classList.toggle('open'); stage.redraw(); });
  const figures = [figure('rollouts', count(data.rollouts.id.length)), figure('nodes', count(data.node_count)), ...(model.scored ? [figure('mean score', score(meanOf(model, 0)))] : [figure('score', 'none')])];
  const attempts = data.nodes.scored_visits[0];
  if (task && task.judged) figures.push(figure('solved', `${count(task.solved)} of ${count(task.attempts)}`));
  if (data.paths.length) figures.push(figure('e*', [element('span', { style: { color: 'var(--star)' } }, '★ '), `${score(data.paths[0].value)}, ${count(data.paths[0].support)} of ${count(attempts)} rollout${attempts === 1 ? '' : 's'}`]));
  const [held, all] = [data.nodes.visits[0], data.rollouts.id.length];
  byId('heading').replaceChildren(...[element('h1', { class: 'hidden' }, task ? nameOf(task) : data.tree_id), instruction, element('dl', { class: 'figures' }, figures),
    held < all ? element('p', { class: 'soft' }, `${count(held)} of ${count(all)} rollouts are in the tree; tratree build adds the others.`) : null,
    data.node_count > model.size ? element('p', { class: 'soft' }, `This page shows the ${count(model.size)} most visited of ${count(data.node_count)} nodes.`) : null,
    element('p', { class: 'soft', id: 'no-graph', hidden: true }, 'This task has no graph yet, so this is its tree; tratree states makes the graph.')].filter(Boolean));
}

/* Shows what the address names: a tab, a node, a rollout, a pair. */
function showTree(model, place, fresh, stay = false) {
  const { data } = model;
  if (fresh) {
    showHeading(model, current.overview.tasks.find((task) => task.tree_id === data.tree_id));
    byId('find').value = place.find || '';
    byId('find-count').textContent = place.find ? count(findInTree(model, place.find).length) : '';
    byId('stage').hidden = false;
    stage.open(model, stay);
    fillLegend();
  }
  const inGraph = place.view === 'graph' && Boolean(data.graph);
  byId('no-graph').hidden = place.view !== 'graph' || inGraph;
  byId('stage').hidden = inGraph;
  byId('graph-stage').hidden = !inGraph;
  byId('tree').classList.toggle('with-graph', inGraph);
  if (inGraph) byId('outline').hidden = true;
  for (const choice of document.querySelectorAll('.views')) choice.hidden = !data.graph;
  document.querySelector('.side .tabs').hidden = inGraph;
  if (fresh && !stay) byId(inGraph ? 'graph-stage' : 'stage').focus({ preventScroll: true });
  if (inGraph) {
    if (byId('compare').open) byId('compare').close();
    showGraph(model, place);
    return;
  }
  const alone = data.rollouts.id.length === 1 && !place.node && !place.tab && !place.pair;
  const rollout = alone ? 0 : data.rollouts.id.indexOf(place.rollout);
  const pair = data.pairs.find((known) => known.pair_id === place.pair);
  const outlined = showsOutline(place) && !alone;
  const tab = alone ? 'rollouts' : place.tab && place.tab !== 'tree' ? place.tab : pair ? 'pairs' : 'path';
  for (const name of ['tree', ...Object.keys(TABS)]) byId(`tab-${name}`).setAttribute('aria-selected', String(name === (outlined ? 'tree' : tab)));
  byId('tree').classList.toggle('outlined', outlined);
  byId('outline').hidden = !outlined;
  byId('tab-pairs').hidden = !data.pairs.length && tab !== 'pairs';
  byId('tab-decisions').hidden = !decisionsOf(model).length && tab !== 'decisions';
  byId('tab-merges').hidden = !mergesOf(model).length;
  const trails = [];
  if (data.paths.length) trails.push({ nodes: data.paths[0].nodes, shade: 'star' });
  if (rollout >= 0) trails.push({ nodes: data.steps[rollout].node.filter((i) => i >= 0), shade: 'focus', fades: true });
  if (pair) {
    const sideNodes = (number, child) => (number < 0 ? [] : data.steps[number].node.slice(Math.max(0, data.steps[number].node.indexOf(child))));
    trails.push({ nodes: sideNodes(pair.rejected_rollout, pair.rejected_node), shade: 'worse', fades: true }, { nodes: sideNodes(pair.chosen_rollout, pair.chosen_node), shade: 'better', fades: true });
  }
  const node = model.numberOf.has(place.node) ? model.numberOf.get(place.node) : 0;
  if (tab === 'decisions') trails.push(...decisionTrails(model, node));
  stage.showTrails(trails, rollout < 0 && !pair && tab === 'rollouts' ? listedNodes(model) : null);
  stage.showMatches(markedNodes(model, place, tab));
  stage.pin(pair && pair.chosen_node >= 0 && !place.node ? pair.chosen_node : node, { centre: fresh && !stay && Boolean(place.node) });
  if (outlined) showOutline(model, node);
  if (tab === 'rollouts') showRollouts(model, rollout);
  else if (tab === 'pairs') showPairs(model);
  else if (tab === 'decisions') showDecisions(model, node);
  else if (tab === 'merges') showMerges(model, node);
  else showNode(model, node);
  if (place.find) markIn(byId('side-body'), place.find);
  const beside = data.rollouts.id.indexOf(place.with);
  if (pair) showPair(model, pair);
  else if (rollout >= 0 && beside >= 0 && beside !== rollout) showSideBySide(model, rollout, beside);
  else if (byId('compare').open) byId('compare').close();
  announce(place.pair ? '' : spoken(model, node));
}
