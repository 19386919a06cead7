-- For each task the fewest steps from its usual first state to a solved end, through states that attempts share: pieces of several rollouts, so
-- perhaps no attempt took the whole route. `executed` says whether a rollout did exactly this; `fewest` is the length of the shortest solved rollout.
-- Its rows are transcripts: explore with --agent transcript:file=… takes these actions in the environment (docs/states.md). Parameters: $history.
WITH RECURSIVE starts AS (
    SELECT tree_id, mode(state_id ORDER BY state_id) AS state_id
    FROM step_credits JOIN states USING (tree_id, state_id)
    WHERE step = 0 AND history = $history
    GROUP BY tree_id
),
best AS (
    SELECT t.tree_id, t.state_id, t.action, IF(s.distance = 1, NULL, t.next_state_id) AS next_state_id
    FROM transitions AS t JOIN states AS s ON s.state_id = t.state_id LEFT JOIN states AS n ON n.state_id = t.next_state_id
    WHERE t.history = $history AND ((s.distance = 1 AND t.solved_ends > 0) OR (s.distance > 1 AND n.distance = s.distance - 1))
    QUALIFY row_number() OVER (PARTITION BY t.state_id ORDER BY t.mean DESC NULLS LAST, t.visits DESC, t.transition_id) = 1
),
walked AS (
    SELECT tree_id, state_id, 0 AS step FROM starts
    UNION ALL
    SELECT walked.tree_id, best.next_state_id, step + 1 FROM walked JOIN best USING (tree_id, state_id) WHERE best.next_state_id IS NOT NULL
),
found AS (
    SELECT tree_id, list(action ORDER BY step) AS actions FROM walked JOIN best USING (tree_id, state_id) GROUP BY tree_id
),
rollouts_as_lists AS (
    SELECT o.tree_id, o.environment, o.task_id, rollout_id, o.solved, list(s.action ORDER BY s.step) AS actions
    FROM outcomes AS o JOIN steps AS s USING (rollout_id)
    GROUP BY ALL
)
SELECT any_value(r.environment) AS environment, any_value(r.task_id) AS task_id, 0 AS attempt, len(any_value(f.actions)) AS length,
    min(len(r.actions)) FILTER (r.solved) AS fewest, bool_or(r.actions = f.actions) AS executed,
    list_transform(any_value(f.actions), lambda action: {'thought': '', 'action': action}) AS steps
FROM found AS f JOIN rollouts_as_lists AS r USING (tree_id)
GROUP BY tree_id
ORDER BY environment, task_id
