-- The trees whose nodes contain $text, in upper or lower case. Parameters: $text.
SELECT DISTINCT tree_id
FROM nodes
WHERE contains(lower(observation), lower($text)) OR contains(lower(thought), lower($text)) OR contains(lower(action), lower($text))
ORDER BY tree_id
