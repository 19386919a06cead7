/* What the words of the page mean: shown in place on hover, focus and tap, and all together in the help. */

const TERMS = {
  rollouts: 'Attempts at the task that came through here.',
  nodes: 'Steps of the tree: equal actions from similar observations are one node.',
  'mean score': 'Mean of the final scores of the rollouts through here, with its 95 % interval.',
  value: 'What Monte Carlo tree search found this node to be worth.',
  advantage: 'The credit of this action: its value minus the mean value of its alternatives.',
  credit: 'How much better or worse an action did than its alternatives in the same state.',
  ends: 'Rollouts whose last step this is, and their mean score.',
  solved: 'Rollouts that solved the task.',
  score: 'The final score of this rollout.',
  'end reason': 'Why the rollout ended.',
  'e*': 'The best path through the tree that search found: its value, and its support.',
  support: 'The scored rollouts that end where a path ends.',
  decision: 'A state in which rollouts acted differently.',
  divergence: 'A decision whose actions led to different mean scores.',
  difference: 'The best minus the worst mean score of the actions of a decision.',
  margin: 'The score of the chosen side minus that of the rejected one.',
  state: 'Observations that count as the same. In the tree a state includes its whole history (◇), in the graph it does not.',
  visits: 'Steps in this state, over all rollouts.',
  distance: 'Fewest steps of any rollouts from here to a solved end.',
  'mean return': 'What the score was worth from here, on average: the discounted return.',
  breadth: 'The number of nodes at the widest level of a tree.',
  depth: 'The number of steps from the start to the deepest node.',
  'divergences per tree': 'Decisions that changed the score, divided by trees.',
  'steps per node': 'How many steps were merged into one node, on average.',
  pair: 'Two continuations of one prompt, the chosen one with the better score.',
  merge: 'A step that joined a node although its observation has another text, because both are similar enough.',
  cosine: 'How similar two observations are: 1 is equal.',
};
const TABS_MEAN = {
  tree: 'The tree from top to bottom', path: 'The selected step and the conversation that led there', decisions: 'Where actions led to different scores, the best supported difference first',
  rollouts: 'Single attempts, followed or side by side', pairs: 'Preferences between two continuations', merges: 'Steps that were merged although their texts differ',
};

const word = (name, shown = name) => element('button', { class: 'term', type: 'button', 'data-term': name, 'aria-description': TERMS[name] }, shown);
const term = (name, ...value) => element('div', {}, element('dt', {}, word(name)), element('dd', {}, value));

function explain(event) {
  const at = event.target.closest?.('[data-term]');
  if (!at) return;
  const area = at.getBoundingClientRect();
  placeCard([[at.dataset.term, element('span', {}, TERMS[at.dataset.term])]], [], area.left - 16, area.bottom - 12);
}

for (const kind of ['pointerover', 'focusin', 'click']) document.addEventListener(kind, explain);
for (const kind of ['pointerout', 'focusout']) document.addEventListener(kind, (event) => { if (event.target.closest?.('[data-term]')) hideCard(); });
