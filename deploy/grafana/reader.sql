-- The role that the dashboard of tenants reads with: who did how much, how long it took, why it failed. It sees no
-- parameters, results, inputs, metadata, secrets or keys, and no question of its takes longer than fifteen seconds.
-- Afterwards: \password millrace_grafana
CREATE ROLE millrace_grafana LOGIN;
ALTER ROLE millrace_grafana SET default_transaction_read_only = on;
ALTER ROLE millrace_grafana SET statement_timeout = '15s';
GRANT SELECT (id, name) ON tenants TO millrace_grafana;
GRANT SELECT (tenant_id, id, state, created_at, finished_at) ON jobs TO millrace_grafana;
GRANT SELECT (tenant_id, id, job_id, kind, state, run_at, finished_at, error) ON steps TO millrace_grafana;
