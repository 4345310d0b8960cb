"""Embeddings and perceptual hashes of pictures, and an index over them where the server has pgvector."""

from alembic import op

revision = "0005"
down_revision = "0004"

# Random floats do not compress: stored outside the row as they are, so that hashes are read without them.
_STATEMENTS = """
CREATE TABLE likenesses (
  tenant_id text COLLATE "C" NOT NULL,
  step_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  model text NOT NULL,
  embedding real[] CONSTRAINT ck_likenesses_embedding CHECK (cardinality(embedding) = 1280),
  phash bigint,
  written bigint NOT NULL,
  CONSTRAINT pk_likenesses PRIMARY KEY (tenant_id, step_id),
  CONSTRAINT fk_likenesses_jobs FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE likenesses ALTER COLUMN embedding SET STORAGE EXTERNAL;
CREATE INDEX ix_likenesses_tenant_id_job_id ON likenesses (tenant_id, job_id);
CREATE INDEX ix_likenesses_embedded ON likenesses (tenant_id, model, written) WHERE embedding IS NOT NULL;
"""

# A managed server may not offer pgvector, or not let us create it: then the API searches by itself, and the operator
# may run the same two statements later. Iterative scans, without which a filter loses neighbours, came with 0.8.
_PGVECTOR = """
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_available_extensions
    WHERE name = 'vector'
      AND string_to_array(substring(coalesce(installed_version, default_version) FROM '^[0-9]+[.][0-9]+'), '.')::int[]
          >= '{0,8}'
  ) THEN
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE INDEX ix_likenesses_embedding ON likenesses USING hnsw ((embedding::halfvec(1280)) halfvec_cosine_ops);
  END IF;
EXCEPTION WHEN insufficient_privilege OR undefined_object OR feature_not_supported OR undefined_file THEN
  RAISE NOTICE 'pgvector is not used: %', SQLERRM;
END $$;
"""


def upgrade() -> None:
    op.execute(_STATEMENTS)
    op.execute(_PGVECTOR)
