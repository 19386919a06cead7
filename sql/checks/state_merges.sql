-- An observation that counts as another one is in no state of its own: nothing joins it in turn.
SELECT a.tree_id, a.merge_id, a.observation
FROM state_merges AS a JOIN state_merges AS b ON a.tree_id = b.tree_id AND a.observation = b.joined
