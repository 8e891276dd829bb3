"""The router that most would write: FastAPI, pydantic, an ORM, `SKIP LOCKED`, a WebSocket for each agent."""

import os
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from sqlalchemy import ARRAY, DateTime, Text, any_, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The tables."""


class Agent(Base):
    """An agent, free or not."""

    __tablename__ = "agents"
    id: Mapped[str] = mapped_column(primary_key=True)
    skills: Mapped[list[str]] = mapped_column(ARRAY(Text))
    free: Mapped[bool] = mapped_column(default=True, index=True)
    idle_since: Mapped[Any] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Contact(Base):
    """A contact from beginning to end."""

    __tablename__ = "contacts"
    id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(unique=True)
    member: Mapped[str]
    skill: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting", index=True)
    agent_id: Mapped[str | None]


class Identity(BaseModel):
    """Who."""

    type: str
    value: str


class Posted(BaseModel):
    """What is posted."""

    channel: str
    external_id: str
    identity: Identity
    tags: list[str]
    text: str


class Taken(BaseModel):
    """What is answered."""

    id: str
    state: str


engine = create_async_engine(
    os.environ["CORDBOARD_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=8
)
sessions = async_sessionmaker(engine, expire_on_commit=False)
desktops: dict[str, WebSocket] = {}
app = FastAPI()


@app.on_event("startup")
async def make_tables() -> None:
    """Make the tables."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


@app.get("/readyz")
async def ready() -> dict[str, bool]:
    """Up."""
    return {"ok": True}


async def offer_next() -> None:
    """Match the oldest contact that somebody free can take, and tell the agent."""
    while await offer_one():
        pass


async def offer_one() -> bool:
    """The same; true if somebody else was matching the agent at this moment, so that it must be tried again."""
    async with sessions() as session:
        contact = await session.scalar(
            select(Contact)
            .where(
                Contact.state == "waiting",
                select(Agent.id).where(Agent.free, Contact.skill == any_(Agent.skills)).exists(),
            )
            .order_by(Contact.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if contact is None:
            return False
        agent = await session.scalar(
            select(Agent)
            .where(Agent.free, any_(Agent.skills) == contact.skill)
            .order_by(Agent.idle_since)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if agent is None:
            return True
        contact.state, contact.agent_id, agent.free = "offered", agent.id, False
        await session.commit()
    shown = {"type": "contact.offered", "contact_id": str(contact.id), "data": {"assignment_id": str(contact.id)}}
    await desktops[agent.id].send_json({"type": "event", "event": shown})
    return False


@app.post("/v1/contacts", status_code=201)
async def post_contact(body: Posted) -> Taken:
    """Take in a contact."""
    async with sessions() as session:
        contact = Contact(external_id=body.external_id, member=body.identity.value, skill=body.tags[0], body=body.text)
        session.add(contact)
        await session.commit()
    await offer_next()
    return Taken(id=str(contact.id), state=contact.state)


@app.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """An agent's desktop."""
    await socket.accept()
    hello = await socket.receive_json()
    async with sessions() as session:
        session.add(Agent(id=hello["agent_id"], skills=hello["skills"]))
        await session.commit()
    desktops[hello["agent_id"]] = socket
    await socket.send_json({"type": "welcome"})
    try:
        while True:
            frame = await socket.receive_json()
            async with sessions() as session:
                contact = await session.get_one(Contact, int(frame["assignment_id"]), with_for_update=True)
                if frame["type"] == "accept":
                    contact.state = "active"
                else:
                    contact.state = "closed"
                    agent = await session.get_one(Agent, hello["agent_id"], with_for_update=True)
                    agent.free, agent.idle_since = True, func.now()
                await session.commit()
            await socket.send_json({"type": "reply", "ref": frame["ref"], "ok": True})
            if frame["type"] == "complete":
                await offer_next()
    except WebSocketDisconnect:
        pass


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["CORDBOARD_PORT"]), log_level="warning", access_log=False)
