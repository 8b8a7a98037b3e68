-- SQLite's TEXT is wide and compares bytes as it is; only the listing's index is missing.
CREATE INDEX IF NOT EXISTS post_created_id ON post (created, id);
