-- Actions whose returns differ most from the mean of their state: the decisions with the largest advantage, for better or worse.
SELECT o.environment, o.task_id, t.action, t.advantage, t.visits, s.visits AS state_visits, s.observation
FROM transitions AS t JOIN states AS s USING (state_id)
JOIN (SELECT DISTINCT tree_id, environment, task_id FROM outcomes) AS o ON o.tree_id = t.tree_id
WHERE s.actions > 1 AND t.history = '0' AND t.advantage IS NOT NULL
ORDER BY abs(t.advantage) DESC, t.visits DESC, t.transition_id
