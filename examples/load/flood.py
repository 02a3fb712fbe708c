"""Floods a server while tools attach and detach, and checks each answer.

    flood.py redis|nginx PORT SOCKET SECONDS FUNCTION

Four clients send sixteen requests at once, again and again. Meanwhile a tool is begun, and another one when it has ended; some are killed. Now and
then the clients stand still, FUNCTION, which is called once for each request, is counted, they go on for a while and stand still again: there are
as many calls as requests. The last lines say how many requests had a right answer, what the tools said that they could not see, and what is attached in the end.
`$USHELL` is the command (`target/debug/ushell`).
"""
import json
import random
import re
import subprocess
import sys
import threading
import time
from load import SERVERS, USHELL, Tool, Wrong

CLIENTS, DEPTH = 4, 16


class Flood:
    def __init__(self, server, port):
        self.done, self.wrong = [0] * CLIENTS, []
        self.still, self.over = [threading.Event() for _ in range(CLIENTS)], False
        self.open = threading.Event()
        self.open.set()
        for number in range(CLIENTS):
            client = SERVERS[server](port, f"flood{number}")
            threading.Thread(target=self.client, args=(client, number), daemon=True).start()

    def client(self, client, number):
        try:
            while not self.over:
                if not self.open.is_set():
                    self.still[number].set()
                    self.open.wait()
                    self.still[number].clear()
                client.go(DEPTH)
                self.done[number] += DEPTH
        except Exception as error:  # whatever it is, an answer is missing
            self.wrong.append(f"client {number}: {error}")
            self.still[number].set()

    def stand_still(self):
        self.open.clear()
        if not all(still.wait(60) for still in self.still):
            self.wrong.append("a client does not get its answers")
        return sum(self.done)


def tools(function):
    short = ["--duration", "0.3"]
    return [
        ["funccount", function, *short],
        ["funccount", "*", "--yes", *short],
        ["funclatency", function, *short],
        ["funclatency", "*", "--yes", *short],
        ["stackcount", function, *short],
        ["argdist", function, "1:u64", *short],
        ["slower", "100000", function, *short],
        ["profile", "--hz", "199", *short],
    ]


class Run:
    def __init__(self, socket, function):
        self.socket, self.function = socket, function
        self.failed, self.lost, self.exact, self.begun, self.killed, self.longest = [], {}, 0, 0, 0, 0

    def ushell(self, *words):
        begin = time.monotonic()
        said = subprocess.run([USHELL, self.socket, *words], capture_output=True, text=True, check=False)
        self.longest = max(self.longest, time.monotonic() - begin)
        if said.returncode != 0:
            self.failed.append((words, said.stderr.strip() or said.stdout.strip()))
        for count, what in re.findall(r"^(\d+) calls? (.*)$", said.stdout + said.stderr, re.M):
            if what.startswith(("missing", "not returned", "without a return")):
                self.lost[what] = self.lost.get(what, 0) + int(count)
        return said.stdout

    def tool(self, words):
        self.begun += 1
        if random.random() < 0.25:
            process = subprocess.Popen([USHELL, self.socket, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(2 * random.random())
            self.killed += process.poll() is None
            process.kill()
            process.wait()
        else:
            self.ushell(*words)

    def compare(self, flood):
        """Whether as many calls are counted as requests were sent."""
        before = flood.stand_still()
        try:
            tool = Tool(self.socket, "funccount", self.function, "--json")
        except Wrong as error:
            self.failed.append(("funccount", str(error)))
            return flood.open.set()
        flood.open.set()
        time.sleep(2)
        sent = flood.stand_still() - before
        said, errors = tool.end()
        calls = sum(one["calls"] for one in json.loads(said)["functions"]) if said else None
        if calls == sent:
            self.exact += 1
        else:
            self.failed.append((f"{calls} calls of {sent}", errors))
        flood.open.set()


def main():
    server, port, socket, seconds, function = sys.argv[1:]
    flood, run, begin = Flood(server, int(port)), Run(socket, function), time.monotonic()
    next_look = 0
    while (at := time.monotonic() - begin) < float(seconds) and not flood.wrong:
        if at >= next_look:
            run.compare(flood)
            next_look = at + 30
            print(f"{at:4.0f} s: {sum(flood.done)} requests, {run.begun} tools, {run.exact} times exact, {len(run.failed)} failed", flush=True)
        run.tool(random.choice(tools(function)))
    run.compare(flood)
    flood.over = True
    print(f"{sum(flood.done)} requests with the right answer; wrong: {flood.wrong or 'none'}")
    print(f"{run.begun} tools, {run.killed} of them killed; the longest took {run.longest:.0f} s; failed: {run.failed or 'none'}")
    print(f"{run.exact} times as many calls as requests")
    for what, count in run.lost.items():
        print(f"{count} calls {what}")
    print("attached in the end:", run.ushell("-c", "bpf_list").strip() or "nothing")
    sys.exit(bool(flood.wrong or run.failed))


if __name__ == "__main__":
    main()
