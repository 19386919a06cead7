-- The first $limit nodes that contain $text, in upper or lower case, with the words around it. Parameters: $text, $limit.
WITH fields AS (
    SELECT tree_id, node_id, depth, unnest(['action', 'thought', 'observation']) AS field, unnest([action, thought, observation]) AS words, unnest([1, 2, 3]) AS place
    FROM nodes
    WHERE contains(lower(observation), lower($text)) OR contains(lower(thought), lower($text)) OR contains(lower(action), lower($text))
)
SELECT tree_id, node_id, field,
    CASE WHEN found > 61 THEN '… ' ELSE '' END || words[greatest(1, found - 60):found + len($text) + 59] || CASE WHEN found + len($text) + 59 < len(words) THEN ' …' ELSE '' END AS words
FROM (SELECT *, strpos(lower(words), lower($text)) AS found FROM fields)
WHERE found > 0
QUALIFY place = min(place) OVER (PARTITION BY node_id)
ORDER BY place, tree_id, depth, node_id
LIMIT $limit
