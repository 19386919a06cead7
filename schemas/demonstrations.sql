CREATE TABLE demonstrations (
    demonstration_id VARCHAR NOT NULL PRIMARY KEY,
    tree_id          VARCHAR NOT NULL,
    environment      VARCHAR NOT NULL,
    task_id          VARCHAR NOT NULL,
    split            VARCHAR NOT NULL,
    kind             VARCHAR NOT NULL CHECK (kind IN ('path', 'best', 'success', 'expert')),
    path_id          VARCHAR,
    rollout_id       VARCHAR,
    score            DOUBLE CHECK (score >= 0 AND score <= 1),
    replayed         BOOLEAN,
    messages         STRUCT(role VARCHAR, content VARCHAR, reasoning_content VARCHAR, tool_calls VARCHAR[], tool_call_id VARCHAR, name VARCHAR)[] NOT NULL,
    form             VARCHAR CHECK (form IN ('chat', 'react')),
    tools            VARCHAR[],
    CHECK (path_id IS NULL OR rollout_id IS NULL),
    CHECK (path_id IS NOT NULL OR rollout_id IS NOT NULL)
);
COMMENT ON TABLE  demonstrations                  IS 'A trajectory to imitate. Written by demonstrations.';
COMMENT ON COLUMN demonstrations.demonstration_id IS 'Content hash of kind and source.';
COMMENT ON COLUMN demonstrations.tree_id          IS 'The tree.';
COMMENT ON COLUMN demonstrations.environment      IS 'The environment of the tree.';
COMMENT ON COLUMN demonstrations.task_id          IS 'The task of the tree.';
COMMENT ON COLUMN demonstrations.split            IS 'The split of the task.';
COMMENT ON COLUMN demonstrations.kind             IS 'path: an extracted e* (MCTS-SFT); best: the best of the M attempts; success: every successful rollout; expert: an expert''s rollout.';
COMMENT ON COLUMN demonstrations.path_id          IS 'The path it renders; NULL for whole rollouts.';
COMMENT ON COLUMN demonstrations.rollout_id       IS 'The rollout it renders; NULL for paths.';
COMMENT ON COLUMN demonstrations.score            IS 'The path''s value or the rollout''s score.';
COMMENT ON COLUMN demonstrations.replayed         IS 'Whether replay in the environment confirmed the path; NULL if not replayed or a whole rollout.';
COMMENT ON COLUMN demonstrations.messages         IS 'The conversation, ending with the last action. Each tool call is JSON in OpenAI form: {"id", "type", "function": {"name", "arguments"}}; missing keys are NULL.';
COMMENT ON COLUMN demonstrations.form             IS 'chat: messages as they were, with tool calls and results; react: Thought and Action as text, with role and content only. NULL in older files, which are react.';
COMMENT ON COLUMN demonstrations.tools            IS 'JSON of each tool that the agent could call, in OpenAI form; NULL if there was none, and in react.';
