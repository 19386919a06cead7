CREATE TABLE node_values (
    tree_id            VARCHAR NOT NULL,
    node_id            VARCHAR NOT NULL PRIMARY KEY,
    visits             BIGINT NOT NULL CHECK (visits >= 0),
    value_sum          DOUBLE NOT NULL,
    value              DOUBLE,
    mean               DOUBLE,
    low                DOUBLE,
    high               DOUBLE,
    best_end_score     DOUBLE,
    q                  DOUBLE,
    advantage          DOUBLE,
    relative_advantage DOUBLE
);
COMMENT ON TABLE  node_values                    IS 'What search found out about a node. Written by search.';
COMMENT ON COLUMN node_values.tree_id            IS 'The tree.';
COMMENT ON COLUMN node_values.node_id            IS 'The node.';
COMMENT ON COLUMN node_values.visits             IS 'c_M: how many simulations passed through the node (not the rollouts'' visits, which are in nodes).';
COMMENT ON COLUMN node_values.value_sum          IS 'r_M: sum of the scores that the search backed up through the node.';
COMMENT ON COLUMN node_values.value              IS 'r_M / c_M, the refined mean that greedy extraction follows; NULL if no simulation did.';
COMMENT ON COLUMN node_values.mean               IS 'Mean score of the rollouts through the node; NULL if none has a score.';
COMMENT ON COLUMN node_values.low                IS 'Lower end of the 95 % Wilson interval of that mean: never empty, never outside [0, 1]. A coin of the same mean bounds the variance of graded scores.';
COMMENT ON COLUMN node_values.high               IS 'Upper end of that interval.';
COMMENT ON COLUMN node_values.best_end_score     IS 'The highest mean score of any end in the subtree: what could be reached by choosing every step, and every answer of the environment.';
COMMENT ON COLUMN node_values.q                  IS 'Exact discounted value as in QLASS: in each decision the mean score of the ends here, or discount × the best child''s q, whichever is higher; with chance=expected the decisions of all states, weighted by how often they occurred.';
COMMENT ON COLUMN node_values.advantage          IS 'mean minus the mean over all scored rollouts through siblings of the same state, itself included; NULL for the root and without scores.';
COMMENT ON COLUMN node_values.relative_advantage IS 'advantage divided by the standard deviation of those rollouts'' scores, as in group-relative methods; 0 if they are all equal.';
