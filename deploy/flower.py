"""Flower's settings: `celery -A tasks.app flower --conf=deploy/flower.py`. Tasks bear their kind's name and the job's id."""

natural_time = True
tasks_columns = "name,uuid,state,kwargs,received,started,runtime,worker"
purge_offline_workers = 60
max_tasks = 10_000
