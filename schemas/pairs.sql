CREATE TABLE pairs (
    pair_id             VARCHAR NOT NULL PRIMARY KEY,
    tree_id             VARCHAR NOT NULL,
    environment         VARCHAR NOT NULL,
    task_id             VARCHAR NOT NULL,
    split               VARCHAR NOT NULL,
    kind                VARCHAR NOT NULL CHECK (kind IN ('divergence', 'step', 'siblings', 'unstructured', 'expert', 'anchor')),
    node_id             VARCHAR NOT NULL,
    chosen_node_id      VARCHAR NOT NULL,
    rejected_node_id    VARCHAR NOT NULL,
    chosen_rollout_id   VARCHAR NOT NULL,
    rejected_rollout_id VARCHAR NOT NULL,
    chosen_score        DOUBLE NOT NULL CHECK (chosen_score >= 0 AND chosen_score <= 1),
    rejected_score      DOUBLE NOT NULL CHECK (rejected_score >= 0 AND rejected_score <= 1),
    margin              DOUBLE NOT NULL CHECK (margin > 0),
    margin_z            DOUBLE,
    chosen_visits       BIGINT,
    rejected_visits     BIGINT,
    verified            BOOLEAN,
    preference_id       VARCHAR,
    prompt              STRUCT(role VARCHAR, content VARCHAR, reasoning_content VARCHAR, tool_calls VARCHAR[], tool_call_id VARCHAR, name VARCHAR)[] NOT NULL,
    chosen              STRUCT(role VARCHAR, content VARCHAR, reasoning_content VARCHAR, tool_calls VARCHAR[], tool_call_id VARCHAR, name VARCHAR)[] NOT NULL,
    rejected            STRUCT(role VARCHAR, content VARCHAR, reasoning_content VARCHAR, tool_calls VARCHAR[], tool_call_id VARCHAR, name VARCHAR)[] NOT NULL,
    form                VARCHAR CHECK (form IN ('chat', 'react')),
    tools               VARCHAR[]
);
COMMENT ON TABLE  pairs                     IS 'A preference between two continuations of one prompt. Written by pairs.';
COMMENT ON COLUMN pairs.pair_id             IS 'Content hash of kind, nodes and rollouts.';
COMMENT ON COLUMN pairs.tree_id             IS 'The tree.';
COMMENT ON COLUMN pairs.environment         IS 'The environment of the tree.';
COMMENT ON COLUMN pairs.task_id             IS 'The task of the tree.';
COMMENT ON COLUMN pairs.split               IS 'The split of the task.';
COMMENT ON COLUMN pairs.kind                IS 'divergence: the best child of a state against each worse one, full continuations (the paper''s TreeDPO); step: the same, the two diverging answers only; siblings: all or adjacent siblings by value; unstructured: two whole rollouts by score only; expert: an expert''s rollout against an agent''s; anchor: equal observations reached with different histories (the state''s best action against each other one, the two answers only, both after the chosen side''s history).';
COMMENT ON COLUMN pairs.node_id             IS 'The node where the two diverge; the root for unstructured and expert pairs.';
COMMENT ON COLUMN pairs.chosen_node_id      IS 'The better child, first node of σ+.';
COMMENT ON COLUMN pairs.rejected_node_id    IS 'The worse child, first node of σ−.';
COMMENT ON COLUMN pairs.chosen_rollout_id   IS 'The rollout whose continuation is chosen.';
COMMENT ON COLUMN pairs.rejected_rollout_id IS 'The rollout whose continuation is rejected.';
COMMENT ON COLUMN pairs.chosen_score        IS 'Aggregated score of the better side: the child''s mean, or the rollout''s score for unstructured and expert pairs.';
COMMENT ON COLUMN pairs.rejected_score      IS 'Aggregated score of the worse side.';
COMMENT ON COLUMN pairs.margin              IS 'chosen_score minus rejected_score.';
COMMENT ON COLUMN pairs.margin_z            IS 'The margin in standard errors, with the noise of both sides: difference of the two posterior means (Beta, uniform prior, one observation per scored rollout) over the root of their summed variances. Negative if the better side has too few rollouts to be certain of anything; NULL for unstructured and expert pairs, which compare single rollouts.';
COMMENT ON COLUMN pairs.chosen_visits       IS 'Scored rollouts through the better child; NULL for unstructured and expert pairs, and in older files.';
COMMENT ON COLUMN pairs.rejected_visits     IS 'Scored rollouts through the worse child.';
COMMENT ON COLUMN pairs.verified            IS 'Whether margin_z is at least 1.96: the two sides differ by more than chance would explain (tratree verify).';
COMMENT ON COLUMN pairs.preference_id       IS 'Content hash of what is compared, independent of the kind: rows of kind divergence, step and siblings that compare the same two children share it.';
COMMENT ON COLUMN pairs.prompt              IS 'Messages both sides share, word for word; ends with what both saw before they diverge. Tool calls are JSON in OpenAI form.';
COMMENT ON COLUMN pairs.chosen              IS 'Messages of the better continuation, starting with the assistant.';
COMMENT ON COLUMN pairs.rejected            IS 'Messages of the worse continuation, starting with the assistant.';
COMMENT ON COLUMN pairs.form                IS 'chat: messages as they were, with tool calls and results; react: Thought and Action as text, with role and content only. NULL in older files, which are react.';
COMMENT ON COLUMN pairs.tools               IS 'JSON of each tool that the agent could call, in OpenAI form; NULL if there was none, and in react.';
