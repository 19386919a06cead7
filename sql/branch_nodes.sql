-- For each node, the first rollout that continued beyond it: replaying its first steps leads to the node, and the environment must then
-- show the same observation. Parameters: $node_ids, $environment, $split.
WITH wanted AS (SELECT unnest($node_ids) AS node_id),
tree_rollouts AS (FROM rollouts SEMI JOIN step_nodes USING (rollout_id)),
passing AS (
    SELECT node_id, rollout_id, step + 1 AS length FROM step_nodes SEMI JOIN wanted USING (node_id)
    UNION ALL
    SELECT nodes.node_id, tree_rollouts.rollout_id, 0
    FROM nodes SEMI JOIN wanted USING (node_id) JOIN tree_rollouts USING (tree_id)
    WHERE nodes.parent_id IS NULL
),
in_tree AS (
    SELECT tree_id, max(attempt) AS last_attempt
    FROM tree_rollouts
    GROUP BY tree_id
),
branched AS (
    SELECT branch_node_id AS node_id, count(*) AS branches
    FROM tree_rollouts
    WHERE branch_node_id IS NOT NULL
    GROUP BY branch_node_id
)
SELECT
    passing.node_id, rollouts.tree_id, rollouts.task_id, rollouts.rollout_id, passing.length, steps.observation,
    coalesce(CAST(rollouts.sampling ->> 'environment_seed' AS INTEGER), rollouts.attempt) AS environment_seed,
    in_tree.last_attempt, coalesce(branched.branches, 0) AS branches
FROM passing
JOIN rollouts USING (rollout_id)
JOIN steps ON steps.rollout_id = passing.rollout_id AND steps.step = passing.length
JOIN in_tree USING (tree_id)
LEFT JOIN branched ON branched.node_id = passing.node_id
WHERE rollouts.environment = $environment AND rollouts.split = $split
QUALIFY row_number() OVER (PARTITION BY passing.node_id ORDER BY rollouts.attempt, rollouts.rollout_id) = 1
ORDER BY passing.node_id
