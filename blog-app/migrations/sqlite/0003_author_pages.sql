-- An author's page walks this index from its end and stops after one page.
CREATE INDEX IF NOT EXISTS post_author_created_id ON post (author_id, created, id);
