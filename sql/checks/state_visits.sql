-- A state's visits are those of its transitions.
SELECT state_id, s.visits, coalesce(sum(t.visits), 0) AS of_transitions
FROM states AS s LEFT JOIN transitions AS t USING (state_id)
GROUP BY state_id, s.visits
HAVING s.visits <> of_transitions
