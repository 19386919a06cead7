/* Loads data from the blocks of this page, or from the server that serves it; both have the same form. */

async function inflate(id) {
  const block = byId(id);
  if (!block) return null;
  const packed = Uint8Array.from(atob(block.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
  return JSON.parse(await new Response(stream).text());
}

async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json' } });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || `The server responded with status ${answer.status}.`);
  return body;
}

const kept = new Map();

async function loadTree(treeId) {
  if (!/^[0-9a-z]{1,64}$/i.test(treeId)) return null;
  if (!kept.has(treeId)) {
    const tree = settings.served ? await ask(`api/tree/${treeId}`) : await inflate(`tree-${treeId}`);
    if (kept.size > 20) kept.delete(kept.keys().next().value);
    kept.set(treeId, tree && makeModel(tree));
  }
  return kept.get(treeId);
}

const loadOverview = () => (settings.served ? ask('api/overview') : inflate('overview-data'));

const MOST_HITS = 100;
const AROUND = 60;
const FIELDS = ['action', 'thought', 'observation'];

const wordsAround = (text, from, to) => `${from > AROUND ? '… ' : ''}${text.slice(Math.max(0, from - AROUND), to + AROUND)}${to + AROUND < text.length ? ' …' : ''}`;

/* Where the steps contain a text: the trees, and the first nodes with the words around it. */
async function searchSteps(text, treeIds) {
  if (settings.served) return ask(`api/search?text=${encodeURIComponent(text)}`);
  const wanted = text.toLowerCase();
  const found = { tree_ids: [], hits: [] };
  for (const treeId of treeIds) {
    const tree = await inflate(`tree-${treeId}`);
    if (!tree) continue;
    const places = tree.texts.map((known) => known.toLowerCase().indexOf(wanted));
    if (places.every((place) => place < 0)) continue;
    found.tree_ids.push(treeId);
    tree.nodes.id.forEach((nodeId, i) => {
      const field = FIELDS.find((name) => places[tree.nodes[name][i]] >= 0);
      if (!field) return;
      const [whole, at] = [tree.texts[tree.nodes[field][i]], places[tree.nodes[field][i]]];
      found.hits.push({ tree_id: treeId, node_id: nodeId, field, words: wordsAround(whole, at, at + wanted.length) });
    });
  }
  found.hits = found.hits.sort((a, b) => FIELDS.indexOf(a.field) - FIELDS.indexOf(b.field)).slice(0, MOST_HITS);
  return found;
}
