/* The address names what is shown (#tree=…&node=…), so that everything has a link; this script follows it. */

const current = { overview: null, model: null, place: {} };
const PLACES = ['tree', 'view', 'node', 'state', 'rollout', 'with', 'pair', 'tab', 'find', 'agent', 'model', 'result', 'end', 'tasks', 'text', 'environment', 'sort'];

function placeFromAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  const place = {};
  for (const name of PLACES) if (fields.get(name)) place[name] = fields.get(name);
  return place;
}

function linkTo(change) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...current.place, ...change })) if (value) fields.set(name, value);
  return `#${fields}`;
}

/* Moving within a tree updates the address without adding to the browser's history. */
function go(change) {
  const next = { ...change };
  if ('node' in change && !('tab' in change) && !['rollouts', 'decisions', 'merges'].includes(current.place.tab)) next.tab = null;
  history.replaceState(null, '', linkTo(next));
  followAddress();
}

function message(text, ...more) {
  const node = byId('loading');
  node.replaceChildren(element('span', { class: 'text' }, text), ' ', ...more);
  node.hidden = false;
  byId('tree').hidden = true;
  byId('overview').hidden = true;
}

async function followAddress() {
  const place = placeFromAddress();
  const fresh = !current.model || current.place.tree !== place.tree;
  current.place = place;
  hideCard();
  if (!place.tree) {
    current.model = null;
    document.title = settings.name;
    show('overview');
    readList(place);
    showOverview(current.overview);
    return;
  }
  if (fresh) {
    let model = null;
    try { model = await loadTree(place.tree); } catch (error) { message(error.message); return; }
    if (placeFromAddress().tree !== place.tree) return;
    if (!model) { message('This tree is not in the page. To see all trees: tratree view DIR --serve', element('a', { href: '#' }, 'All tasks')); return; }
    current.model = model;
    const task = current.overview.tasks.find((known) => known.tree_id === place.tree);
    document.title = task ? `${nameOf(task)} · ${settings.name}` : settings.name;
    show('tree', task);
    if (!stage) buildTreePage();
  }
  showTree(current.model, placeFromAddress(), fresh);
}

function show(which, task) {
  byId('loading').hidden = true;
  byId('overview').hidden = which !== 'overview';
  if (which === 'tree') byId('content').scrollTop = 0;
  byId('tree').hidden = which !== 'tree';
  byId('trail').replaceChildren(...(task ? [element('span', { dir: 'auto' }, `${task.environment} · ${nameOf(task, 60)}`)] : []));
  if (which === 'overview' && byId('compare').open) byId('compare').close();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  if (!byId('overview').hidden && current.overview) showOverview(current.overview);
  else byId('overview').replaceChildren();
  if (stage) { stage.recolour(); graphStage.recolour(); if (current.model) { fillLegend(); showTree(current.model, current.place, false); } }
}

function showKeys() {
  const keys = [['← →', 'Go to the parent or the best child'], ['↑ ↓', 'Go to the next alternative'], ['Enter', 'Fold or unfold'], ['Home', 'Go to the start'], ['B', 'Follow e*'], ['N P', 'Go to the next or the previous decision'], ['F', 'Fit the whole tree'], ['+ −', 'Zoom in or out'], ['/', 'Find'], ['Esc', 'Back to all tasks'],
    ['Wheel', 'Move; with Ctrl, zoom']];
  byId('help').replaceChildren(element('h2', {}, 'Keyboard shortcuts'), element('dl', {}, keys.map(([key, text]) => [element('dt', {}, key.split(' ').map((part) => [element('kbd', {}, part), ' '])), element('dd', {}, text)])),
    element('h2', {}, 'Words'), element('dl', { class: 'words' }, Object.entries(TERMS).map(([name, text]) => [element('dt', {}, name), element('dd', {}, text)])),
    element('button', { class: 'more', type: 'button', onclick: () => byId('help').close() }, 'Close'));
  byId('help').showModal();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, select, dialog')) return;
  if (event.key === '?') showKeys();
  if (event.key === '/') {
    event.preventDefault();
    const field = current.model ? byId('find') : document.querySelector('#overview input');
    if (field) field.focus();
  }
  if (current.model && (event.key === 'n' || event.key === 'p')) goToDecision(event.key === 'n' ? 1 : -1);
  if (event.key === 'Escape' && current.model && event.target.id !== 'stage') location.hash = '';
});

function prepareOverview(overview) {
  const here = overview.here && new Set(overview.here);
  overview.tasks = makeTasks(overview);
  overview.tasks.forEach((task, i) => { task.place = i; task.here = overview.built && (!here || here.has(task.tree_id)); });
  current.overview = overview;
}

async function start() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  document.documentElement.dataset.theme = system.matches ? 'dark' : 'light';
  system.addEventListener('change', () => setTheme(system.matches ? 'dark' : 'light'));
  byId('theme').addEventListener('click', () => setTheme(isDark() ? 'light' : 'dark'));
  byId('keys').addEventListener('click', showKeys);
  window.addEventListener('hashchange', followAddress);
  try {
    prepareOverview(await loadOverview());
    if (settings.open && !location.hash) history.replaceState(null, '', `#tree=${settings.open}`);
    await followAddress();
    watchForChanges();
  } catch (error) {
    message(error.message);
  }
}

start();
