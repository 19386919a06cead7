-- Nodes where the environment responded differently to the same action: their children are in several states.
SELECT parents.tree_id, parents.node_id, parents.depth, parents.action, parents.visits, count(DISTINCT children.state) AS states
FROM nodes AS parents JOIN nodes AS children ON children.parent_id = parents.node_id
GROUP BY parents.tree_id, parents.node_id, parents.depth, parents.action, parents.visits
HAVING count(DISTINCT children.state) > 1
ORDER BY states DESC, visits DESC, parents.tree_id, parents.node_id
