/* The panel beside the tree: the selected node with the conversation that led to it, and the pairs. */

const pick = (i) => go({ node: current.model.data.nodes.id[i], rollout: current.place.rollout });

function turn(kind, who, body, className = '') {
  return element('div', { class: `turn ${kind} ${className}` }, element('div', { class: 'who' }, who), element('div', { class: 'said' }, body));
}

/* Who said an observation: the tools that the step before it called, or the environment. */
function speaker(model, before) {
  const names = before > 0 && model.data.nodes.parent[before] >= 0 ? [...new Set(splitCalls(actionOf(model, before))[1].map((call) => call.name))] : [];
  return names.length ? `Result of ${shortened(oneLine(names.join(', ')), 60)}` : model.calls ? 'User' : 'Environment';
}

function stepTurns(model, i, { observation, remember, from, thought, pinned, link }) {
  const turns = [];
  const who = speaker(model, from ?? model.data.nodes.parent[i]);
  const first = model.data.nodes.parent[i] === 0 && observation === textOf(model, 'observation', 0);
  const seen = observation && !first ? remember(observation, `at step ${model.depth[i]}`) : null;
  if (seen) turns.push(turn(who.startsWith('Result') ? 'environment result' : 'environment', [who], clamped(seen)));
  const body = [thought ? written('div', 'thought', thought) : null, withCalls(actionOf(model, i)) || written('div', 'action', actionOf(model, i))];
  const agent = [`Agent, step ${model.depth[i]}`, link && model.scored ? element('a', { href: linkTo({ node: model.data.nodes.id[i] }), title: 'Mean score of the rollouts through this step; opens it in the tree' }, score(meanOf(model, i))) : null];
  turns.push(turn('agent', agent, body, pinned ? 'pinned' : ''));
  return turns;
}

function showNode(model, i) {
  const { nodes } = model.data;
  const path = pathTo(model, i);
  const conversation = [turn('environment', ['Instruction'], clamped(written('div', '', textOf(model, 'observation', 0))))];
  const remember = makeMemory();
  for (const at of path.slice(1)) {
    conversation.push(stepTurns(model, at, { observation: textOf(model, 'observation', at), remember, thought: textOf(model, 'thought', at), pinned: at === i, link: at !== i }));
  }
  const last = conversation.flat().at(-1);
  const body = byId('side-body');
  body.replaceChildren(nodeHead(model, i), ...conversation.flat(2), ...[annotationBox(model, 'node', nodes.id[i]), alternatives(model, i), children(model, i), mergesAt(model, i), endings(model, i)].filter(Boolean));
  requestAnimationFrame(() => {
    if (nodes.parent[i] < 0 || body.scrollHeight <= body.clientHeight) { body.scrollTop = 0; return; }
    const start = last.previousElementSibling && last.previousElementSibling.classList.contains('environment') ? last.previousElementSibling : last;
    body.scrollTop = Math.max(0, start.offsetTop - body.offsetTop - body.querySelector('.node-head').offsetHeight - 8);
  });
}

function nodeHead(model, i) {
  const { nodes } = model.data;
  const stats = [];
  const stat = (name, value, more) => stats.push(term(name, value, more ? element('small', {}, ` ${more}`) : null));
  const interval = nodes.low && nodes.low[i] !== null ? `${score(nodes.low[i])} – ${score(nodes.high[i])}` : '';
  stat('rollouts', count(nodes.visits[i]));
  if (model.scored) stat('mean score', [swatch(meanOf(model, i)), score(meanOf(model, i))], interval);
  if (nodes.value && nodes.value[i] !== null) stat('value', score(nodes.value[i]));
  if (nodes.advantage && nodes.advantage[i] !== null) stat('advantage', signed(nodes.advantage[i]));
  if (nodes.ends[i]) stat('ends', model.scored ? `${count(nodes.ends[i])} × ${score(endScoreOf(model, i))}` : count(nodes.ends[i]));
  return element('div', { class: 'node-head' }, copyMenu(model, i), element('p', { class: 'text action', dir: 'auto' }, nodes.parent[i] < 0 ? 'Start' : splitCalls(actionOf(model, i))[1].length ? briefOf(model, i) : actionOf(model, i)), element('dl', { class: 'stats' }, stats));
}

function nodeRow(model, i, here) {
  return element('button', { class: 'row', type: 'button', 'aria-current': i === here ? 'true' : null, onclick: () => pick(i) },
    swatch(meanOf(model, i)), element('span', { class: 'label code', dir: 'auto' }, briefOf(model, i)),
    element('span', { class: 'tail' }, [model.scored ? score(meanOf(model, i)) : null, plural(model.data.nodes.visits[i], 'rollout')].filter(Boolean).join(' · ')));
}

function detail(title, more, ...content) {
  return element('section', { class: 'detail' }, element('h2', {}, title, more ? element('span', { class: 'soft' }, ` ${more}`) : null), ...content);
}

function alternatives(model, i) {
  const parent = model.data.nodes.parent[i];
  if (parent < 0) return null;
  const groups = model.states[parent];
  const own = groups.find((group) => group.includes(i));
  const others = groups.filter((group) => group !== own).flat();
  const parts = [];
  if (own.length > 1) parts.push(detail('Alternatives in this state', `${own.length} actions tried`, element('div', { class: 'rows' }, own.slice(0, 100).map((at) => nodeRow(model, at, i)))));
  if (others.length) {
    parts.push(detail('In other states', 'where the environment answered differently', element('div', { class: 'rows' }, others.slice(0, 100).map((at) => nodeRow(model, at, i)))));
  }
  return parts.length ? element('div', {}, parts) : null;
}

function children(model, i) {
  const states = model.states[i];
  if (!states.length) return null;
  const several = states.length > 1;
  const rows = states.slice(0, 50).map((group) => [several ? element('p', { dir: 'auto' }, `◇ ${stateText(model, group)}`) : null, group.slice(0, 100).map((at) => nodeRow(model, at, -1))]);
  return detail('Next steps', several ? `the environment answered in ${states.length} ways` : '', element('div', { class: 'rows' }, rows));
}

function clampedParts(parts) {
  const node = element('div', { class: 'text', dir: 'auto' }, parts);
  return clamped(node);
}

function endings(model, i) {
  const { rollouts, steps } = model.data;
  const here = rollouts.id.map((_, number) => number).filter((number) => {
    const nodes = steps[number].node;
    return nodes.length ? nodes.at(-1) === i : i === 0 && rollouts.step_count[number] === 0;
  });
  if (!here.length) return null;
  const seen = [...new Set(here.map((number) => model.data.texts[rollouts.end_observation[number]]))].filter((text) => text && text.trim());
  return detail('Rollouts that end here', '', element('div', { class: 'rows' }, here.map((number) => rolloutRow(model, number))),
    seen.length ? element('div', { style: { marginTop: '12px' } }, turn('environment', [model.calls ? 'At the end' : 'Environment, at the end'], clamped(written('div', '', seen[0])))) : null);
}

function firstAction(model, messages) {
  const content = messages.length ? model.data.texts[messages[0][1]] : '';
  const found = content.lastIndexOf('Action:');
  return (found >= 0 ? content.slice(found + 7) : content).trim();
}

function showPairs(model) {
  const { pairs, pair_count: total } = model.data;
  const rows = pairs.map((pair) => element('button', { class: 'pair', type: 'button', onclick: () => go({ pair: pair.pair_id }) },
    element('div', { class: 'kind' }, element('span', {}, `${pair.kind}, at step ${pair.node >= 0 ? model.depth[pair.node] + 1 : '?'}`), element('span', { class: 'number', title: TERMS.margin }, `margin ${score(pair.margin)}`)),
    ...pairLines(...[pair.chosen, pair.rejected].map((side) => firstAction(model, side)), pair.chosen_score, pair.rejected_score)));
  byId('side-body').replaceChildren(
    element('p', { class: 'soft', style: { marginBottom: '12px' } }, total ? `${plural(total, 'pair')} in this tree${total > pairs.length ? `; these are the ${pairs.length} with the widest margins` : ''}.` : 'This tree has no pairs.'),
    element('div', {}, rows));
  byId('side-body').scrollTop = 0;
}

/* The better and the worse action in one line each, from where they differ. */
function pairLines(better, worse, high, low, many, few) {
  const [good, bad] = [brief(better, [worse]), brief(worse, [better])];
  return [sideLine('+', 'plus', apart(good, bad), high, many), sideLine('−', 'minus', apart(bad, good), low, few)];
}

/* A line whose beginning another shares: its first word, then from shortly before they differ, so that a narrow column shows the difference. */
function apart(one, other) {
  const [mine, theirs] = [[...one], [...other]];
  let same = 0;
  while (same < mine.length && mine[same] === theirs[same]) same += 1;
  const word = mine.indexOf(' ') + 1;
  return same - 8 <= word + 4 || same >= mine.length ? one : `${mine.slice(0, word).join('')}…${mine.slice(same - 8).join('').replace(/^…/u, '')}`;
}

const sideLine = (mark, name, text, value, rollouts) => element('span', { class: 'side-line' },
  element('span', { class: name, 'aria-label': mark === '+' ? 'better' : 'worse' }, mark), element('span', { dir: 'auto' }, text), element('span', { class: 'number' }, rollouts ? `${score(value)} ×${rollouts}` : score(value)));

/* A pair: one prompt, two continuations, and the step at which they diverge. */
function showPair(model, pair) {
  const content = (message) => model.data.texts[message[1]];
  const turns = (messages, side, remember) => messages.map((message, i) => {
    const agent = model.data.texts[message[0]] === 'assistant';
    const called = i && !agent ? splitCalls(content(messages[i - 1]))[1].map((call) => call.name) : [];
    const where = side ? `in turn ${i}, this side` : `in message ${i + 1} of the prompt`;
    const shown = agent ? withCalls(content(message)) || clamped(written('div', '', content(message))) : clamped(remember(content(message), where));
    const who = agent ? 'Agent' : called.length ? `Result of ${shortened(oneLine(called.join(', ')), 60)}` : model.calls ? 'User' : 'Environment';
    return turn(agent ? 'agent' : called.length ? 'environment result' : 'environment', i === 0 && side ? ['Agent, where they diverge'] : [who], i === 0 && side ? side : shown, i === 0 && side ? 'parts' : '');
  });
  const afterPrompt = () => { const remember = makeMemory(); turns(pair.prompt, null, remember); return remember; };
  const firsts = pair.chosen.length && pair.rejected.length ? [content(pair.chosen[0]), content(pair.rejected[0])] : null;
  const words = firsts ? differingWords(...firsts).map((parts) => element('div', { class: 'text', dir: 'auto' }, parts)) : [null, null];
  const [better, worse] = firsts ? [withCalls(firsts[0], firsts[1], 0) || words[0], withCalls(firsts[1], firsts[0], 1) || words[1]] : words;
  const column = (name, title, messages, value, parts) => element('section', { class: name },
    element('h3', {}, element('span', {}, title), element('span', { class: 'number' }, score(value))),
    turns(messages, parts, afterPrompt()));
  const prompt = element('details', { class: 'shared' }, element('summary', {}, `Shared prompt (${plural(pair.prompt.length, 'message')})`), turns(pair.prompt, null, makeMemory()));
  const body = element('div', { class: 'dialog-body' }, annotationBox(model, 'pair', pair.pair_id), prompt, element('div', { class: 'sides' },
    column('chosen', '+ Chosen', pair.chosen, pair.chosen_score, better), column('rejected', '− Rejected', pair.rejected, pair.rejected_score, worse)));
  addSideTabs(body, ['+ Chosen', '− Rejected']);
  const at = model.data.pairs.indexOf(pair);
  const step = (by, label, text) => element('button', { class: 'quiet', type: 'button', 'aria-label': label, disabled: !model.data.pairs[at + by], onclick: () => go({ pair: model.data.pairs[at + by].pair_id }) }, text);
  openDialog(`Pair ${at + 1} of ${model.data.pairs.length}`, `${pair.kind}, margin ${score(pair.margin)}`, [step(-1, 'Previous pair', '←'), step(1, 'Next pair', '→')], body);
}

/* On a narrow screen one side is shown at a time. */
function addSideTabs(body, labels) {
  const sides = body.querySelector('.sides');
  const buttons = labels.map((label, at) => element('button', { type: 'button', 'data-side': at, onclick: () => choose(at) }, label));
  const choose = (at) => { sides.dataset.shown = at; buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(i === at))); };
  choose(0);
  body.prepend(element('div', { class: 'choices side-tabs', role: 'group', 'aria-label': 'Side' }, buttons));
}

function openDialog(title, more, buttons, body) {
  const dialog = byId('compare');
  dialog.replaceChildren(
    element('div', { class: 'dialog-head' }, element('h2', {}, title, element('span', { class: 'soft' }, `  ${more}`)),
      buttons, element('button', { class: 'quiet', type: 'button', onclick: () => dialog.close(), 'aria-label': 'Close' }, '✕')),
    body);
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
}
