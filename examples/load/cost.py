"""What tracing costs a server, in guest instructions for a request, from request to answer.

    cost.py redis|nginx FUNCTION ROUNDS traced:PORT:FILE:SOCKET [plain:PORT:FILE]

Each image runs in a QEMU with the plugin of insns.c, which counts into FILE. Each round measures, in turns, the image without the library (`plain`),
the traced one with nothing attached, with `count.bin` at FUNCTION, and with `funclatency FUNCTION`: 400 requests one after the other, and
sixty times sixteen at once. What the image executes in as much time when nobody asks anything is taken off. A line gives the median of all rounds, its difference to the first line, and the middle half of the rounds.
`$USHELL` is the command (`target/debug/ushell`), `$BPF` the folder of the samples (`target/bpf/O2`).
"""
import mmap
import os
import statistics
import struct
import subprocess
import sys
import time
from load import SERVERS, USHELL, Tool

BPF = os.environ.get("BPF", "target/bpf/O2")
BATCHES = [(1, 400), (16, 60)]


class Image:
    def __init__(self, server, text):
        self.name, port, file, *socket = text.split(":")
        self.socket = socket[0] if socket else None
        with open(file, "rb") as counted:
            self.count = mmap.mmap(counted.fileno(), 8, prot=mmap.PROT_READ)
        self.clients = [SERVERS[server](int(port), f"cost{depth}") for depth, _ in BATCHES]

    def instructions(self):
        return struct.unpack("<Q", self.count[:8])[0]

    def measure(self):
        """Instructions for a request, for each kind of batch."""
        costs = []
        alone, seconds = self.executed(lambda: time.sleep(1))
        idle = alone / seconds
        for client, (depth, batches) in zip(self.clients, BATCHES):
            for _ in range(10):
                client.go(depth)
            all_of_it, seconds = self.executed(lambda: [client.go(depth) for _ in range(batches)])
            costs.append((all_of_it - idle * seconds) / batches / depth)
        return costs

    def executed(self, job):
        """Instructions and seconds meanwhile."""
        before, begin = self.instructions(), time.monotonic()
        job()
        return self.instructions() - before, time.monotonic() - begin

    def ushell(self, *words):
        subprocess.run([USHELL, self.socket, *words], check=True, stdout=subprocess.DEVNULL)


def rounds(server, function, count, images):
    costs = {}
    images = {image.name: image for image in (Image(server, text) for text in images)}
    traced, plain = images["traced"], images.get("plain")
    traced.ushell("--put", f"{BPF}/count.bin")
    for _ in range(count):
        if plain:
            costs.setdefault("no library", []).append(plain.measure())
        costs.setdefault("nothing attached", []).append(traced.measure())
        traced.ushell("-c", f"bpf_attach {function} count.bin")
        costs.setdefault("count.bin", []).append(traced.measure())
        traced.ushell("-c", f"bpf_detach {function}")
        tool = Tool(traced.socket, "funclatency", function)
        time.sleep(0.2)
        costs.setdefault("funclatency", []).append(traced.measure())
        said = tool.end()[0].strip().splitlines()
    return costs, said[-1]


def main():
    server, function, count, *images = sys.argv[1:]
    costs, said = rounds(server, function, int(count), images)
    for kind, (depth, _) in enumerate(BATCHES):
        base = None
        for name, all_costs in costs.items():
            sorted_costs = sorted(cost[kind] for cost in all_costs)
            median, quarter = statistics.median(sorted_costs), len(sorted_costs) // 4
            base = base or median
            low, high = sorted_costs[quarter], sorted_costs[-quarter - 1]
            print(f"{depth:3} at once  {name:17}{median:9.0f}  {100 * (median / base - 1):+6.2f} %  [{low:.0f} {high:.0f}]")
    print("funclatency, in the last round:", said)


if __name__ == "__main__":
    main()
