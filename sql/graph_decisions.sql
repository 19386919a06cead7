-- In how many states attempts chose differently, with different mean scores: in the graph, whatever came before, and in the trees.
WITH actions AS (
    SELECT state_id, action, sum(mean * scored_visits) / sum(scored_visits) AS mean
    FROM transitions
    WHERE history = '0' AND scored_visits > 0
    GROUP BY state_id, action
),
states AS (
    SELECT state_id FROM actions GROUP BY state_id HAVING max(mean) - min(mean) > 1e-9
)
SELECT (SELECT count(*) FROM states) AS in_graph, (SELECT count(*) FROM decisions WHERE is_divergence) AS in_trees
