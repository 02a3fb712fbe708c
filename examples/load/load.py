"""Clients of the two servers that are traced: each answer is checked, byte by byte where it is known. And a tool that runs meanwhile."""
import os
import signal
import socket
import subprocess

USHELL = os.environ.get("USHELL", "target/debug/ushell")


class Redis:
    """INCR of a key of its own: each answer is one more than the one before."""

    def __init__(self, port, name):
        self.key, self.count = b"load:%s" % name.encode(), 0
        self.link = connect(port)
        self.link.send(b"DEL %s\r\n" % self.key)
        self.link.line()

    def go(self, depth):
        """Sends so many requests at once, and takes their answers."""
        self.link.send(b"INCR %s\r\n" % self.key * depth)
        for _ in range(depth):
            self.count += 1
            answer, wanted = self.link.line(), b":%d\r\n" % self.count
            if answer != wanted:
                raise Wrong(f"{answer} in place of {wanted}")


class Nginx:
    """GET of the page: each answer has it as the first one had it."""

    def __init__(self, port, name):
        del name
        self.link, self.page = connect(port), None
        self.go(1)

    def go(self, depth):
        self.link.send(b"GET / HTTP/1.1\r\nHost: traced\r\n\r\n" * depth)
        for _ in range(depth):
            status, length, line = self.link.line(), 0, None
            while line != b"\r\n":
                line = self.link.line()
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            page = self.link.take(length)
            self.page = self.page or page
            if status != b"HTTP/1.1 200 OK\r\n" or page != self.page or not page:
                raise Wrong(f"{status} {page}")


SERVERS = {"redis": Redis, "nginx": Nginx}


class Wrong(Exception):
    """An answer is not what it has to be."""


class connect:
    """A connection that is read by lines and by bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise Wrong("the connection ended")
        return line

    def take(self, length):
        data = self.file.read(length)
        if len(data) != length:
            raise Wrong("the connection ended")
        return data


class Tool:
    """A tool of the shell, from the moment on at which it has attached."""

    def __init__(self, shell, *words):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([USHELL, shell, *words], stdout=pipe, stderr=pipe, text=True)
        self.began = self.process.stderr.readline()
        if "attached" not in self.began:
            raise Wrong(f"{words[0]} did not begin: {self.began}{self.process.stderr.read()}")

    def end(self):
        """Ends it as ^C does; what it says, and what it warns of."""
        self.process.send_signal(signal.SIGINT)
        said, warned = self.process.communicate(timeout=120)
        return said, self.began + warned
