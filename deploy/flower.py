"""Flower's settings (`celery -A tasks.app flower --conf=deploy/flower.py`): tasks by their kind, with the job's id."""

natural_time = True
tasks_columns = "name,uuid,state,kwargs,received,started,runtime,worker"
purge_offline_workers = 60
max_tasks = 10_000
