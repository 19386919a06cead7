-- Pairs of different observations after the same action at the same node of exact trees: what a similarity threshold has to judge.
-- `a_next` and `b_next` are the observations after them. Parameters: $pairs (at most so many texts per parent and action, by rollout).
WITH seen AS (
    SELECT nodes.tree_id, nodes.parent_id, nodes.action, steps.observation, min(step_nodes.rollout_id) AS rollout_id,
        arg_min(coalesce(after.observation, rollouts.end_observation), step_nodes.rollout_id) AS next_observation
    FROM step_nodes JOIN nodes USING (node_id) JOIN steps USING (rollout_id, step) JOIN rollouts USING (rollout_id)
    LEFT JOIN steps AS after ON after.rollout_id = steps.rollout_id AND after.step = steps.step + 1
    GROUP BY nodes.tree_id, nodes.parent_id, nodes.action, steps.observation
),
numbered AS (
    SELECT *, row_number() OVER (PARTITION BY parent_id, action ORDER BY rollout_id, observation) AS place FROM seen
)
SELECT a.tree_id, a.parent_id, a.action, a.observation AS a_text, b.observation AS b_text, a.next_observation AS a_next, b.next_observation AS b_next
FROM numbered AS a JOIN numbered AS b ON a.parent_id = b.parent_id AND a.action = b.action AND a.place < b.place
WHERE a.place <= CAST($pairs AS BIGINT) AND b.place <= CAST($pairs AS BIGINT)
ORDER BY a.tree_id, a.parent_id, a.action, a.place, b.place
