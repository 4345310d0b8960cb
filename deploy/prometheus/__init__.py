"""What Prometheus reads of Millrace and judges it by: see docs/monitoring.md. rules/ and tests/ are its own files."""
