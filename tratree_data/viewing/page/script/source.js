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

/* The tree_ids of the trees that contain the text. */
async function searchSteps(text, treeIds) {
  if (settings.served) return new Set((await ask(`api/search?text=${encodeURIComponent(text)}`)).tree_ids);
  const wanted = text.toLowerCase();
  const found = new Set();
  for (const treeId of treeIds) {
    const tree = await inflate(`tree-${treeId}`);
    if (tree && tree.texts.some((known) => known.toLowerCase().includes(wanted))) found.add(treeId);
  }
  return found;
}
