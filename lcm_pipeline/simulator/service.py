"""A running programme with everything that decides its responses, independent of the server.

The app requests replies from it; the control API changes its settings.
"""

from dataclasses import dataclass, field

from lcm_pipeline.simulator import xml_format
from lcm_pipeline.simulator.configuration import SimulatorConfig
from lcm_pipeline.simulator.endpoints import Endpoint, response_of
from lcm_pipeline.simulator.faults import FaultPlan, FaultRule, spoil_bytes, spoil_rows
from lcm_pipeline.simulator.hooks import HookPlan
from lcm_pipeline.simulator.identity import Identity
from lcm_pipeline.simulator.replies import AN_ERROR, DENIED, Reply, write_json
from lcm_pipeline.simulator.requests import Request
from lcm_pipeline.simulator.responses import Desk
from lcm_pipeline.simulator.traffic import Traffic
from lcm_pipeline.simulator.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an endpoint. request: None if the body could not be read."""

    endpoint: Endpoint
    request: Request | None
    authorization: str
    as_xml: bool

    @property
    def client(self) -> int | None:
        return self.request.get("Client") if self.request else None


@dataclass
class Service:
    """The world, the desk that responds from it, and the plans of faults and hooks."""

    config: SimulatorConfig
    world: World
    desk: Desk
    identity: Identity
    faults: FaultPlan
    hooks: HookPlan = field(default_factory=HookPlan)
    traffic: Traffic = field(default_factory=Traffic)

    def reply(self, call: Call, fault: FaultRule | None) -> Reply:
        """The reply to one call, with a fault applied to it."""
        if not self.identity.admits(call.authorization):
            return DENIED
        if call.request is None:
            return AN_ERROR
        with self.world.lock:
            if refusal := self.identity.refusal(call.request):
                code, message = refusal
                fields = response_of(call.endpoint, {"ErrorCode": code, "Message": message})
            else:
                fields = self.desk.respond(call.endpoint, call.request)
            if fault is not None:
                fields = spoil_rows(fault, call.endpoint, fields)
            if call.as_xml:
                body = xml_format.write_xml(call.endpoint, fields)
                reply = Reply(200, body, xml_format.CONTENT_TYPE)
            else:
                reply = Reply(200, write_json(fields))
            self.hooks.after_request(self.world, call.endpoint.name, call.client)
        return reply if fault is None else spoil_bytes(fault, reply)


def build_service(config: SimulatorConfig) -> Service:
    """Build the world of a configuration and the service around it."""
    world = World(
        config.seed, config.clients, start=config.start, now=config.now,
        opening_end=config.opening_end, habits=config.habits,
    )  # fmt: skip
    return Service(
        config=config,
        world=world,
        desk=Desk(world, config.quirks),
        identity=Identity(config),
        faults=FaultPlan(config.faults),
    )
