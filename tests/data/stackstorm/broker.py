"""Logins to RabbitMQ, of the stand-ins for StackStorm's and Mistral's programs."""

import socket
import struct
import urllib.parse


class Refused(Exception):
    """The server says no, or nothing; says how."""


def login(url, host="127.0.0.1"):
    """A login by AMQP 0-9-1 with PLAIN, and the virtual host opened: the connection, which has to be held."""
    url = urllib.parse.urlsplit(url)
    user, password = (urllib.parse.unquote(part or "guest") for part in (url.username, url.password))
    vhost = urllib.parse.unquote(url.path[1:]) or "/"

    def method(klass, number, arguments):
        payload = struct.pack(">HH", klass, number) + arguments
        return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"

    def short(text):
        return bytes([len(text.encode())]) + text.encode()

    def long(data):
        return struct.pack(">I", len(data)) + data

    try:
        connection = socket.create_connection((url.hostname or host, url.port or 5672), timeout=5)
        stream = connection.makefile("rb")

        def expect(klass, number):
            head = stream.read(7)
            if len(head) < 7:
                raise Refused("amqp.exceptions.AccessRefused: (0, 0): (403) ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN")
            payload = stream.read(struct.unpack(">BHI", head)[2])
            stream.read(1)
            if struct.unpack(">HH", payload[:4]) == (10, 50):
                raise Refused(f"amqp.exceptions.NotAllowed: Connection.open: ({struct.unpack('>H', payload[4:6])[0]}) {payload[7:7 + payload[6]].decode()}")
            if struct.unpack(">HH", payload[:4]) != (klass, number):
                raise Refused("amqp: unexpected answer")
            return payload[4:]

        connection.sendall(b"AMQP\x00\x00\x09\x01")
        expect(10, 10)
        connection.sendall(method(10, 11, long(b"") + short("PLAIN") + long(f"\0{user}\0{password}".encode()) + short("en_US")))
        offered = expect(10, 30)
        connection.sendall(method(10, 31, offered[:6] + struct.pack(">H", 0)) + method(10, 40, short(vhost) + short("") + b"\0"))
        expect(10, 41)
        return connection
    except OSError as error:
        raise Refused(f"ERROR connection [-] Connection to RabbitMQ @ {url.hostname}:{url.port} failed: {error}") from error
