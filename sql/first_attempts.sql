-- The first attempts at some tasks, numbered from 1 in the order in which they enter their tree. Parameters: $trees, $attempts.
WITH chosen AS (SELECT DISTINCT tree_id FROM outcomes ORDER BY tree_id LIMIT CAST($trees AS BIGINT)),
ranked AS (
    SELECT rollout_id, tree_id, attempt, instruction, score, success, step_count, row_number() OVER (PARTITION BY tree_id ORDER BY attempt, rollout_id) AS place
    FROM outcomes SEMI JOIN chosen USING (tree_id)
)
SELECT * FROM ranked WHERE place <= CAST($attempts AS BIGINT)
ORDER BY tree_id, attempt, rollout_id
