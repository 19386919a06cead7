/* The start page: scores, outcomes, the quality of the trees, and all tasks. */

const FILTERS = {
  all: ['All', () => true],
  never: ['Never solved', (task) => task.judged > 0 && task.solved === 0],
  sometimes: ['Sometimes solved', (task) => task.solved > 0 && task.solved < task.attempts],
  always: ['Always solved', (task) => task.solved === task.attempts],
  divergent: ['With divergences', (task) => task.divergences > 0],
};
const COLUMNS = [
  ['task_id', 'Task', 34, ''], ['attempts', 'Rollouts', 9, 'rollouts'], ['mean_score', 'Mean score', 17, ''], ['solved', 'Solved', 10, 'solved'],
  ['nodes', 'Nodes', 8, 'nodes'], ['depth', 'Depth', 8, 'depth'], ['divergences', 'Divergences', 11, 'divergences'], ['pairs', 'Pairs', 8, 'pairs'],
];
const PAGE = 100;
const OPTIONAL = ['mean_score', 'solved', 'divergences', 'pairs'];

const list = { filter: 'all', text: '', environment: '', sort: null, direction: -1, shown: PAGE, searching: false, found: null, foundText: '' };

/* The list of tasks as the address has it. */
function readList(place) {
  Object.assign(list, { filter: place.tasks in FILTERS ? place.tasks : 'all', text: place.text || '', environment: place.environment || '', sort: (place.sort || '').replace('-', '') || null, direction: (place.sort || '-').startsWith('-') ? -1 : 1, shown: PAGE });
  if (list.foundText !== list.text) list.found = null;
}

function refreshList() {
  const place = { tasks: list.filter === 'all' ? null : list.filter, text: list.text, environment: list.environment, sort: list.sort && `${list.direction < 0 ? '-' : ''}${list.sort}` };
  const fields = new URLSearchParams(Object.entries(place).filter(([, value]) => value));
  history.replaceState(null, '', `#${fields}`);
  current.place = placeFromAddress();
  list.shown = PAGE;
  fillTable(current.overview);
}

function makeTasks(overview) {
  const columns = overview.tasks;
  return columns.tree_id.map((_, i) => Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[i]])));
}

function showOverview(overview) {
  const { tasks } = overview;
  const { whole, quality } = overview;
  const section = byId('overview');
  const judged = tasks.some((task) => task.judged > 0);
  const facts = [plural(whole.tasks, 'task'), plural(whole.rollouts, 'rollout'), quality ? plural(quality.nodes, 'node') : null,
    whole.mean_score === null ? null : `mean score ${score(whole.mean_score)}`, judged ? `${count(whole.solved)} of ${count(whole.rollouts)} solved` : null];
  section.replaceChildren(
    element('h1', {}, settings.name),
    element('p', { class: 'lead' }, facts.filter(Boolean).join(' · ')),
    ...overview.notes.map((note) => element('p', { class: 'note' }, note.text, note.command ? [' ', element('code', {}, note.command)] : null)),
    element('div', { class: 'panels' }, (!whole.rollouts ? [] : whole.mean_score === null && !judged ? [unscoredPanel(overview)] : [histogramPanel(overview, whole.mean_score), outcomesPanel(tasks)]), whole.rollouts ? qualityPanel(quality) : null),
    ...decisivePanel(overview),
    taskTools(overview),
    element('div', { id: 'hits' }),
    element('div', { class: 'tasks', id: 'task-table' }),
  );
  fillTable(overview);
}

/* In place of the histogram, without scores: what is missing, and what adds it. */
function unscoredPanel(overview) {
  return element('section', { class: 'panel unscored' }, element('h2', {}, 'No scores yet'),
    element('p', { class: 'hint' }, 'Nothing says how well these rollouts did, so actions cannot be compared. Scores can come from a file, from checks of what happened, or from your own labels:'),
    element('p', {}, element('code', {}, `tratree score ${overview.address} --with scores.csv`)));
}

function histogramPanel(overview, mean) {
  const { histogram } = overview;
  const [width, height, base] = [420, 190, 162];
  const highest = Math.max(...histogram, 1);
  const step = width / histogram.length;
  const bars = histogram.map((n, i) => {
    const size = n ? Math.max((n / highest) * (base - 14), 1.5) : 0;
    const from = i / histogram.length;
    const name = `${from.toFixed(2)} to ${((i + 1) / histogram.length).toFixed(2)}: ${plural(n, 'rollout')}`;
    return drawing('rect', { x: i * step + 1.5, y: base - size, width: step - 3, height: size, rx: 2, fill: colour((i + 0.5) / histogram.length) }, drawing('title', {}, name));
  });
  const at = mean === null ? null : drawing('g', {},
    drawing('line', { x1: mean * width, x2: mean * width, y1: 4, y2: base, stroke: 'currentColor', 'stroke-width': 1, 'stroke-dasharray': '3 3' }),
    drawing('text', { x: mean * width + (mean > 0.8 ? -5 : 5), y: 11, 'text-anchor': mean > 0.8 ? 'end' : 'start' }, `mean ${score(mean)}`));
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((tick) => drawing('text', { x: tick * width, y: base + 18, 'text-anchor': tick === 0 ? 'start' : tick === 1 ? 'end' : 'middle' }, String(tick)));
  const label = `Scores of ${plural(histogram.reduce((a, b) => a + b, 0), 'rollout')}, mean ${score(mean)}`;
  return element('section', { class: 'panel' },
    element('h2', {}, 'Scores ', element('span', { class: 'hint' }, overview.unscored ? `${plural(overview.unscored, 'rollout')} without a score` : '')),
    drawing('svg', { class: 'histogram', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
      drawing('line', { x1: 0, x2: width, y1: base + 0.5, y2: base + 0.5, stroke: 'currentColor', 'stroke-opacity': 0.25 }), bars, at, ticks));
}

function outcomesPanel(tasks) {
  const shades = { never: colour(0), sometimes: colour(0.5), always: colour(1) };
  const rows = ['never', 'sometimes', 'always'].map((name) => {
    const n = tasks.filter(FILTERS[name][1]).length;
    return element('button', { class: 'outcome', type: 'button', onclick: () => { list.filter = name; refreshList(); byId('task-table').scrollIntoView({ block: 'nearest' }); } },
      element('span', {}, FILTERS[name][0]),
      element('span', { class: 'track' }, element('span', { class: 'fill', style: { width: `${(100 * n) / (tasks.length || 1)}%`, background: shades[name] } })),
      element('span', { class: 'number' }, count(n)));
  });
  return element('section', { class: 'panel' }, element('h2', {}, 'Tasks by outcome'), element('div', { class: 'outcomes' }, rows),
    element('p', { class: 'hint', style: { marginTop: '12px' } }, 'Tasks solved only some of the time are the most informative.'));
}

/* What people call a task: tasks of sessions are named by a hash, which says less than what was asked. */
const isNameless = (task) => /^[0-9a-f]{16}$/u.test(task.task_id) && Boolean(task.instruction);
const nameOf = (task, most = 28) => (isNameless(task) ? shortened(oneLine(task.instruction.trim().replace(/\s+/gu, ' ')), most) : task.task_id);

/* The decisions of the whole dataset whose alternatives differ most, as far as their trees are in the page. */
function decisivePanel(overview) {
  const tasks = new Map(overview.tasks.map((task) => [task.tree_id, task]));
  const rows = (overview.decisive || []).filter((decision) => tasks.get(decision.tree_id)?.here).slice(0, 6);
  if (!rows.length) return [];
  return [element('section', { class: 'panel decisive' }, element('h2', {}, 'Most decisive steps ', element('span', { class: 'hint' }, 'where one action led to better scores than another in the same state')),
    element('div', { class: 'cards' }, rows.map((decision) => element('a', { class: 'pair', href: `#tree=${decision.tree_id}&node=${decision.best_id}&tab=decisions` },
      element('span', { class: 'kind' }, element('span', { dir: 'auto' }, `${nameOf(tasks.get(decision.tree_id))}, step ${decision.depth + 1}`), element('span', { class: 'number', title: TERMS.difference }, `difference ${score(decision.spread)}`)),
      pairLines(decision.best_action, decision.worst_action, decision.best_mean, decision.worst_mean, decision.best_rollouts, decision.worst_rollouts)))))];
}

/* Each number is a column of sql/quality.sql, under the name that `tratree stats`, the figures and the card use. */
function qualityPanel(quality) {
  if (!quality) {
    return element('section', { class: 'panel' }, element('h2', {}, 'Trees'), element('p', { class: 'hint' }, 'Not built yet. Next: tratree build'));
  }
  const number = (value) => (value === null ? '–' : value.toFixed(2));
  const fact = (name, value, hint) => element('div', {}, element('dt', {}, word(name.toLowerCase(), name), element('span', { class: 'hint' }, hint)), element('dd', {}, value));
  return element('section', { class: 'panel' }, element('h2', {}, 'Quality of the trees'), element('dl', { class: 'facts' },
    fact('Breadth', number(quality.breadth), 'nodes at the widest level (diversity)'),
    fact('Depth', number(quality.depth), 'steps to the deepest node (representativeness)'),
    fact('Divergences per tree', number(quality.divergences_per_tree), `decisions that change the score (informativeness)${quality.spread === null ? '' : `, with a spread of ${number(quality.spread)}`}`),
    fact('Steps per node', number(quality.steps_per_node), 'steps merged into one node')));
}

function taskTools(overview) {
  const environments = [...new Set(overview.tasks.map((task) => task.environment))].sort();
  const search = element('input', { class: 'field', type: 'search', placeholder: 'Search tasks', title: 'Press Enter to search the text of all steps', 'aria-label': 'Search task names and instructions; press Enter to search all steps', value: list.text });
  search.addEventListener('input', () => { list.text = search.value; list.found = null; refreshList(); });
  search.addEventListener('keydown', async (event) => {
    if (event.key !== 'Enter' || !search.value.trim()) return;
    list.searching = true;
    fillTable(overview);
    try {
      const found = await searchSteps(search.value, overview.tasks.filter((task) => task.here).map((task) => task.tree_id));
      Object.assign(list, { found: { ...found, trees: new Set(found.tree_ids) }, foundText: list.text });
    } catch (error) { byId('found').textContent = error.message; return; } finally { list.searching = false; }
    refreshList();
    search.scrollIntoView({ block: 'start' });
  });
  const choose = Object.entries(FILTERS).map(([name, [label]]) => element('button', { type: 'button', 'data-filter': name, 'aria-pressed': 'false', onclick: () => {
    list.filter = name;
    if (name === 'divergent') { list.sort = 'divergences'; list.direction = -1; }
    refreshList();
  } }, label));
  return element('div', { class: 'tools' },
    element('h2', {}, 'Tasks ', element('span', { class: 'hint soft', id: 'found', role: 'status', style: { fontWeight: 400, fontSize: '13px' } })),
    search,
    environments.length > 1 ? element('select', { class: 'field', 'aria-label': 'Environment', onchange: (event) => { list.environment = event.target.value; refreshList(); } },
      element('option', { value: '' }, 'All environments'), environments.map((name) => element('option', { value: name, selected: name === list.environment }, name))) : null,
    overview.tasks.some((task) => task.judged > 0 || task.mean_score !== null) ? element('div', { class: 'choices', role: 'group', 'aria-label': 'Which tasks' }, choose) : null);
}

function chosenTasks(overview) {
  const text = list.text.trim().toLowerCase();
  const matches = (task) => !text || task.task_id.toLowerCase().includes(text) || task.instruction.toLowerCase().includes(text) || (list.found && list.found.trees.has(task.tree_id));
  const chosen = overview.tasks.filter((task) => FILTERS[list.filter][1](task) && (!list.environment || task.environment === list.environment) && matches(task));
  if (!list.sort) return [...chosen.filter((task) => task.here), ...chosen.filter((task) => !task.here)];
  const value = (task) => (list.sort === 'solved' ? task.solved / task.attempts : task[list.sort]);
  const empty = list.direction * -Infinity;
  const rank = (task) => value(task) ?? empty;
  return chosen.sort((a, b) => (typeof rank(a) === 'string' ? list.direction * natural.compare(rank(a), rank(b)) : list.direction * (rank(a) - rank(b))) || (list.sort === 'divergences' ? (b.widest_spread || 0) - (a.widest_spread || 0) : 0) || a.place - b.place);
}

const natural = new Intl.Collator('en', { numeric: true });

function fillTable(overview) {
  const chosen = chosenTasks(overview);
  for (const button of document.querySelectorAll('[data-filter]')) button.setAttribute('aria-pressed', String(button.dataset.filter === list.filter));
  byId('found').textContent = `${count(chosen.length)}${chosen.length < overview.tasks.length ? ` of ${count(overview.tasks.length)}` : ''}${list.found ? ', including steps' : ''}`;
  if (list.searching) byId('found').textContent = 'Searching all steps …';
  byId('hits').replaceChildren(...hitList(overview));
  const columns = COLUMNS.filter(([name]) => name in (overview.tasks[0] || { task_id: '' }) && (!OPTIONAL.includes(name) || overview.tasks.some((task) => task[name] || task.judged)));
  const heads = columns.map(([name, label, width]) => element('th', { scope: 'col', style: { width: `${width}%` }, 'aria-sort': list.sort === name ? (list.direction > 0 ? 'ascending' : 'descending') : null },
    element('button', { type: 'button', title: TERMS[label.toLowerCase()] || (name === 'divergences' ? TERMS.divergence : name === 'pairs' ? TERMS.pair : null), onclick: () => { list.direction = list.sort === name ? -list.direction : name === 'task_id' ? 1 : -1; list.sort = name; refreshList(); } }, label)));
  const rows = chosen.slice(0, list.shown).map((task) => taskRow(task, columns));
  const rest = chosen.length - list.shown;
  byId('task-table').replaceChildren(
    element('table', {}, element('caption', { class: 'hidden' }, 'Tasks'), element('thead', {}, element('tr', {}, heads)), element('tbody', {}, rows)),
    ...(chosen.length || list.searching ? [] : [element('p', { class: 'empty' }, 'No matching tasks.')]));
  const more = byId('more-tasks');
  if (more) more.remove();
  if (rest > 0) {
    byId('overview').append(element('button', { class: 'more', id: 'more-tasks', type: 'button', onclick: () => { list.shown += PAGE; fillTable(overview); } }, `Show ${count(Math.min(rest, PAGE))} more (${count(rest)} left)`));
  }
}

/* Steps that contain what was searched for; a link opens the tree at the step, with the text marked. */
function hitList(overview) {
  if (!list.found || !list.found.hits.length) return [];
  const tasks = new Map(overview.tasks.map((task) => [task.tree_id, task]));
  const rows = list.found.hits.slice(0, MOST_HITS).map((hit) => {
    const label = element('span', { class: 'label', dir: 'auto' }, oneLine(hit.words));
    markIn(label, list.text);
    return element('a', { class: 'hit-row', href: `#${new URLSearchParams({ tree: hit.tree_id, node: hit.node_id, find: list.text.trim() })}` }, element('b', { dir: 'auto' }, tasks.has(hit.tree_id) ? nameOf(tasks.get(hit.tree_id)) : hit.tree_id), element('span', { class: 'soft' }, hit.field), label);
  });
  return [element('section', { class: 'panel hits' }, element('h2', {}, 'Steps ', element('span', { class: 'hint' }, list.found.hits.length >= MOST_HITS ? `the first ${MOST_HITS}` : count(rows.length))), rows)];
}

function taskRow(task, columns) {
  const cells = columns.map(([name, , , label]) => {
    if (name === 'task_id') {
      const nameless = isNameless(task);
      const title = element(task.here ? 'a' : 'span', { dir: 'auto', href: task.here ? `#tree=${task.tree_id}` : null }, nameOf(task, 200));
      const notes = [task.environment, nameless && task.task_id, !task.here && current.overview.built && 'not in this page'].filter(Boolean);
      return element('td', {}, element('div', { class: 'task-name' }, title, element('small', {}, notes.join(' · '))), nameless ? null : written('div', 'task-text', task.instruction));
    }
    if (name === 'mean_score') return element('td', { class: task.mean_score === null ? 'zero' : '' }, element('span', { class: 'range' }, scoreRange(task), element('span', {}, score(task.mean_score))));
    if (name === 'solved') return element('td', { class: task.solved ? '' : 'zero', 'data-label': label }, task.solved === task.attempts ? 'always' : task.solved ? `${task.solved} of ${task.attempts}` : task.judged ? 'never' : '–');
    const extra = ['depth', 'pairs'].includes(name) ? 'extra ' : '';
    return element('td', { class: extra + (task[name] ? '' : 'zero'), 'data-label': label }, count(task[name]));
  });
  return element('tr', { onclick: (event) => { if (task.here && !event.target.closest('a') && !getSelection().toString()) location.hash = `#tree=${task.tree_id}`; } }, cells);
}

/* Worst, mean and best score on a line from 0 to 1. */
function scoreRange(task) {
  if (task.mean_score === null) return null;
  const at = (value) => 4 + value * 82;
  return drawing('svg', { width: 90, height: 14, role: 'img', 'aria-label': `from ${score(task.worst_score)} to ${score(task.best_score)}` },
    drawing('line', { x1: 4, x2: 86, y1: 7, y2: 7, stroke: 'currentColor', 'stroke-opacity': 0.15, 'stroke-width': 2 }),
    drawing('line', { x1: at(task.worst_score), x2: at(task.best_score), y1: 7, y2: 7, stroke: 'currentColor', 'stroke-opacity': 0.4, 'stroke-width': 2 }),
    drawing('circle', { cx: at(task.mean_score), cy: 7, r: 4, fill: colour(task.mean_score) }));
}
