"""The stack as most people write it: FastAPI, an ORM session per request, `apply_async`, a row at either end."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from celery import Celery
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, DateTime, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(os.environ.get("RIVAL_DATABASE_URL", "postgresql+psycopg://"))
sessions = sessionmaker(engine)
queue = Celery("usual", broker=os.environ.get("RIVAL_BROKER_URL", "memory://"))
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Job(Base):
    __tablename__ = "usual_jobs"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    state: Mapped[str] = mapped_column(default="queued")
    steps: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class JobIn(BaseModel):
    steps: dict[str, dict[str, Any]]


class JobOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    state: str
    created_at: datetime


def session() -> Iterator[Session]:
    with sessions() as opened:
        yield opened


@app.post("/jobs", status_code=202, response_model=JobOut)
def create(body: JobIn, db: Annotated[Session, Depends(session)]) -> Job:
    job = Job(steps=body.steps)
    db.add(job)
    db.commit()
    db.refresh(job)
    run.apply_async(args=(str(job.id),))
    return job


@queue.task
def run(job_id: str) -> None:
    with sessions() as db:
        job = db.get_one(Job, uuid.UUID(job_id))
        job.result = job.steps["say"]
        job.state, job.finished_at = "succeeded", datetime.now(UTC)
        db.commit()


if __name__ == "__main__":
    Base.metadata.create_all(engine)
