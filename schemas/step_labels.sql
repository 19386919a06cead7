CREATE TABLE step_labels (
    tree_id     VARCHAR NOT NULL,
    node_id     VARCHAR NOT NULL PRIMARY KEY,
    environment VARCHAR NOT NULL,
    task_id     VARCHAR NOT NULL,
    split       VARCHAR NOT NULL,
    prompt      STRUCT(role VARCHAR, content VARCHAR, reasoning_content VARCHAR, tool_calls VARCHAR[], tool_call_id VARCHAR, name VARCHAR)[] NOT NULL,
    completion  STRUCT(role VARCHAR, content VARCHAR, reasoning_content VARCHAR, tool_calls VARCHAR[], tool_call_id VARCHAR, name VARCHAR)[] NOT NULL,
    label       BOOLEAN NOT NULL,
    value       DOUBLE NOT NULL,
    advantage   DOUBLE NOT NULL,
    low         DOUBLE NOT NULL,
    high        DOUBLE NOT NULL,
    form        VARCHAR CHECK (form IN ('chat', 'react')),
    tools       VARCHAR[]
);
COMMENT ON TABLE  step_labels             IS 'A step with its credit, for KTO, process rewards and value heads. Written by pairs.';
COMMENT ON COLUMN step_labels.tree_id     IS 'The tree.';
COMMENT ON COLUMN step_labels.node_id     IS 'The node that is judged.';
COMMENT ON COLUMN step_labels.environment IS 'The environment of the tree.';
COMMENT ON COLUMN step_labels.task_id     IS 'The task of the tree.';
COMMENT ON COLUMN step_labels.split       IS 'The split of the task.';
COMMENT ON COLUMN step_labels.prompt      IS 'Messages up to the observation that the step answers.';
COMMENT ON COLUMN step_labels.completion  IS 'The step itself, one assistant message.';
COMMENT ON COLUMN step_labels.label       IS 'Whether the step is desirable: its advantage is above zero. Meaningless if the step had no alternative (only with --labels all).';
COMMENT ON COLUMN step_labels.value       IS 'Mean score of the rollouts through the node.';
COMMENT ON COLUMN step_labels.advantage   IS 'node_values.advantage of the node.';
COMMENT ON COLUMN step_labels.low         IS 'Lower end of the 95 % interval of value.';
COMMENT ON COLUMN step_labels.high        IS 'Upper end of that interval.';
COMMENT ON COLUMN step_labels.form        IS 'chat: messages as they were, with tool calls and results; react: Thought and Action as text, with role and content only. NULL in older files, which are react.';
COMMENT ON COLUMN step_labels.tools       IS 'JSON of each tool that the agent could call, in OpenAI form; NULL if there was none, and in react.';
