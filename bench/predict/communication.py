"""Time of collectives between devices: NCCL's rings and trees over a machine's links.

A collective of B bytes between n devices takes `latency + B * steps / (n * bus)` on a ring: 2 (n - 1) steps for an
all-reduce, n - 1 for an all-gather and for a reduce-scatter. A tree takes twice the bytes once, in fewer steps. NCCL
chooses by the same arithmetic; latencies and shares of the bus are its own figures, in `src/graph/tuning.cc`:
https://github.com/NVIDIA/nccl/blob/01afd20a77b5804e0ecf1042509dd9d20ebf9e93/src/graph/tuning.cc

Between machines every device's ring passes over a network card of its own, so the bus is the slower of one device's
links and the whole machine's network.
"""

from dataclasses import dataclass

from sslbench.hardware_profiles.schema import Links, Machine

REACHED = {"nvlink": 0.78, "pcie": 0.78, "host": 0.25}
"""Bus bandwidth that large collectives reach, as a share of the nominal rate. NCCL takes 235 of 300 GB/s on an A100 and
12 of 15.75 GB/s on PCI Express 3.0. Through the host's memory: two RTX 3090 lose to gradients what 7 to 8 of 31.5 GB/s
would take (Lambda's BERT-large, one against two cards)."""
NETWORK_REACHED = 0.9
"""The same of the network between machines. An estimate."""


@dataclass(frozen=True, slots=True)
class _Protocol:
    """How NCCL sends: latencies in seconds, by kind of link, and the share of the bus that it reaches."""

    tree: bool
    base: float
    nvlink: float
    pcie: float
    network: float
    share: float
    nvlink_only: bool = False


_PROTOCOLS = (
    _Protocol(tree=False, base=3.6e-6, nvlink=0.47e-6, pcie=1.0e-6, network=2.7e-6, share=0.25),
    _Protocol(tree=False, base=10e-6, nvlink=1.9e-6, pcie=2.5e-6, network=4.0e-6, share=0.92, nvlink_only=True),
    _Protocol(tree=False, base=8.4e-6, nvlink=3.4e-6, pcie=5.7e-6, network=9.6e-6, share=1.0),
    _Protocol(tree=True, base=4.4e-6, nvlink=0.52e-6, pcie=1.0e-6, network=5.0e-6, share=0.24),
    _Protocol(tree=True, base=4.4e-6, nvlink=1.2e-6, pcie=1.9e-6, network=8.5e-6, share=0.82, nvlink_only=True),
    _Protocol(tree=True, base=0.0, nvlink=28e-6, pcie=28e-6, network=50e-6, share=0.9),
)
"""LL, LL128 and Simple, on a ring and on a tree."""


@dataclass(frozen=True, slots=True)
class Fabric:
    """Devices that work on one step, and what connects them."""

    devices: int
    machines: int
    nvlink: bool
    bus_bytes_per_second: float
    """What a large collective reaches, per device and direction."""

    def all_reduce(self, size_bytes: float) -> "Collective":
        """Sum of a tensor of every device, given to all (https://arxiv.org/abs/1706.02677, section 4.1)."""
        return self._fastest(size_bytes, rounds=2)

    def all_gather(self, size_bytes: float) -> "Collective":
        """A tensor of `size_bytes`, of which every device has a share, given to all."""
        return self._fastest(size_bytes, rounds=1)

    def reduce_scatter(self, size_bytes: float) -> "Collective":
        """Sum of a tensor of every device, of which each gets its share: an all-gather backwards."""
        return self._fastest(size_bytes, rounds=1)

    def _fastest(self, size_bytes: float, *, rounds: int) -> "Collective":
        if self.devices == 1 or not size_bytes:
            return Collective(0.0, 0.0)
        # Only an all-reduce may go over a tree.
        usable = [way for way in _PROTOCOLS if way.tree <= (rounds == 2) and way.nvlink_only <= self.nvlink]
        return min((self._by(way, size_bytes, rounds) for way in usable), key=lambda found: found.seconds)

    def _by(self, way: _Protocol, size_bytes: float, rounds: int) -> "Collective":
        within = way.nvlink if self.nvlink else way.pcie
        sent = size_bytes / (self.bus_bytes_per_second * way.share)
        if way.tree:
            between = (self.machines - 1).bit_length()
            hops, passed = 2 * (self.devices // self.machines - 1), 2.0
            latency = way.base + hops * within + 2 * between * way.network
        else:
            between = self.machines - 1
            hops, passed = self.devices - 1 - between, rounds * (self.devices - 1) / self.devices
            latency = way.base + rounds * (hops * within + between * way.network)
        return Collective(latency, latency + passed * sent)


@dataclass(frozen=True, slots=True)
class Collective:
    """Time of one collective."""

    latency: float
    """Seconds until the first byte has been everywhere."""
    seconds: float
    """Until all have: the latency included."""


def fabric_of(machine: Machine) -> Fabric | None:
    """What connects the machine's devices; None where its profile does not tell."""
    links = machine.links
    if links is None or (machine.device_count > links.devices and links.network_bytes_per_second is None):
        return None
    machines = -(-machine.device_count // links.devices)
    return Fabric(machine.device_count, machines, links.kind == "nvlink", _bus(links, machines))


def _bus(links: Links, machines: int) -> float:
    bus = links.bytes_per_second.value * REACHED[links.kind]
    if machines == 1 or links.network_bytes_per_second is None:
        return bus
    return min(bus, links.network_bytes_per_second.value * NETWORK_REACHED)
