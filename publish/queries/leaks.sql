-- Tasks and instructions that two splits share. Two instructions are near when the sets of their words have a Jaccard similarity of
-- at least $min_jaccard. Candidates share one of their rarest words: sets this similar cannot differ in all of
-- size - ceil($min_jaccard * size) + 1 of them (prefix filtering), so nothing is missed.
WITH tasks AS (
    SELECT DISTINCT environment, task_id, split, trim(regexp_replace(lower(instruction), '[^\p{L}\p{N}]+', ' ', 'g')) AS words
    FROM rollouts
),
instructions AS MATERIALIZED (
    SELECT environment, words, split, min(task_id) AS task_id, list_distinct(string_split(words, ' ')) AS word_set,
           row_number() OVER (ORDER BY environment, words, split) AS number
    FROM tasks
    WHERE words <> ''
    GROUP BY environment, words, split
),
spread AS (SELECT environment, number, unnest(word_set) AS word FROM instructions),
rarity AS (SELECT environment, word, count(*) AS uses FROM spread GROUP BY environment, word),
ranked AS (
    SELECT s.environment, s.number, s.word, row_number() OVER (PARTITION BY s.number ORDER BY r.uses, s.word) AS rank,
           count(*) OVER (PARTITION BY s.number) AS size
    FROM spread AS s
    JOIN rarity AS r USING (environment, word)
),
prefixes AS (
    SELECT r.environment, r.number, r.word, r.size, i.split
    FROM ranked AS r
    JOIN instructions AS i USING (number)
    WHERE r.rank <= r.size - ceil($min_jaccard * r.size) + 1
),
candidates AS MATERIALIZED (
    SELECT DISTINCT a.number, b.number AS other
    FROM prefixes AS a
    JOIN prefixes AS b ON b.environment = a.environment AND b.word = a.word AND b.split > a.split AND b.number <> a.number
    WHERE least(a.size, b.size) >= $min_jaccard * greatest(a.size, b.size)
),
sides AS MATERIALIZED (SELECT c.other, a.* FROM candidates AS c JOIN instructions AS a USING (number)),
near AS (
    -- One side after the other: with both joins in one place, DuckDB compares all instructions before it looks at the candidates.
    SELECT a.environment, a.task_id, a.split, b.task_id AS other_task_id, b.split AS other_split,
           len(list_intersect(a.word_set, b.word_set)) / len(list_distinct(list_concat(a.word_set, b.word_set))) AS similarity
    FROM sides AS a
    JOIN instructions AS b ON b.number = a.other
    WHERE a.words <> b.words
),
found AS (
    SELECT 'task' AS kind, environment, task_id, a.split, task_id AS other_task_id, b.split AS other_split, 1.0::DOUBLE AS similarity
    FROM tasks AS a
    JOIN tasks AS b USING (environment, task_id)
    WHERE a.split < b.split
    UNION
    SELECT 'instruction', a.environment, a.task_id, a.split, b.task_id, b.split, 1.0
    FROM instructions AS a
    JOIN instructions AS b ON b.environment = a.environment AND b.words = a.words AND b.split > a.split
    WHERE a.task_id <> b.task_id
    UNION
    SELECT 'near', environment, task_id, split, other_task_id, other_split, similarity FROM near WHERE similarity >= $min_jaccard
)
SELECT kind, environment, task_id, split, other_task_id, other_split, similarity
FROM found
ORDER BY array_position(['task', 'instruction', 'near'], kind), environment, split, other_split, task_id, other_task_id
