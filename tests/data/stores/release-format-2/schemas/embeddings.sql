CREATE TABLE embeddings (
    model   VARCHAR NOT NULL,
    text_id VARCHAR NOT NULL,
    vector  FLOAT[] NOT NULL,
    PRIMARY KEY (model, text_id)
);
COMMENT ON TABLE  embeddings         IS 'Sentence vectors by content, so that a text is embedded once. Written by build.';
COMMENT ON COLUMN embeddings.model   IS 'The embedder and its settings.';
COMMENT ON COLUMN embeddings.text_id IS 'Content hash of the text that was compared.';
COMMENT ON COLUMN embeddings.vector  IS 'Unit vector.';
