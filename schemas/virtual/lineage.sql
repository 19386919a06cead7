CREATE TABLE lineage (
    table_name VARCHAR NOT NULL PRIMARY KEY,
    version    BIGINT NOT NULL,
    stage      VARCHAR NOT NULL,
    settings   VARCHAR NOT NULL,
    reads      VARCHAR NOT NULL,
    code       VARCHAR NOT NULL
);
COMMENT ON TABLE  lineage            IS 'What made each table. Not stored: derived from the commits of the tables, or the manifest of a release.';
COMMENT ON COLUMN lineage.table_name IS 'A table of this dataset.';
COMMENT ON COLUMN lineage.version    IS 'Its version that is read here.';
COMMENT ON COLUMN lineage.stage      IS 'The stage that wrote this version.';
COMMENT ON COLUMN lineage.settings   IS 'JSON: the settings it was given.';
COMMENT ON COLUMN lineage.reads      IS 'JSON: the versions of the tables that it read.';
COMMENT ON COLUMN lineage.code       IS 'The version of tratree-data.';
