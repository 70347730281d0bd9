"""A proxy that does one thing wrong: proxy.py PORT FAULT [late|once]. With ALLOW=HOST:PORT,… it refuses to go anywhere else.

late: it does right by surefoot itself, so that its checks pass, and wrong by everybody else. once: so, and three times only.
Right is to forward plain HTTP, and to make tunnels.
"""
import os
import select
import socket
import sys
import threading
import time
import urllib.parse

PORT, FAULT = int(sys.argv[1]), sys.argv[2]
WHEN = sys.argv[3] if len(sys.argv) > 3 else ""
ALLOW = os.environ.get("ALLOW")
wrong = 0

ANSWERS = {
    "ntlm": "407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM",
    "basic": '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="corp"',
    "forbidden": "403 Forbidden\r\nServer: squid",
    "bad-gateway": "502 Bad Gateway",
    "unavailable": "503 Service Unavailable",
    "portal": "200 OK",
}
PAGES = {
    "forbidden": "<html><title>Access denied</title><body>Category: software. Ask the service desk.</body></html>",
    "portal": "<html><title>Sign in</title><body>Please sign in to use this network.</body></html>",
}


def pump(a, b):
    while True:
        for one in select.select([a, b], [], [])[0]:
            data = one.recv(65536)
            if not data:
                return
            (b if one is a else a).sendall(data)


def serve(client):
    global wrong
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            return
        head += data
    line = head.split(b"\r\n")[0].decode()
    print(line, flush=True)
    method, url, _ = line.split(" ")
    package = url.endswith(".deb")
    broken = FAULT != "none" and (package or FAULT not in ("cut", "stall"))
    if WHEN in ("late", "once") and b"User-Agent: surefoot" in head:
        broken = False
    if WHEN == "once" and broken:
        wrong += 1
        broken = wrong <= 3
    if broken and FAULT == "silent":
        time.sleep(3600)
    if broken and FAULT in ANSWERS:
        body = PAGES.get(FAULT, "")
        client.sendall(f"HTTP/1.1 {ANSWERS[FAULT]}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        return
    if ALLOW is not None:
        parts = urllib.parse.urlsplit(url if "://" in url else f"//{url}")
        if f"{parts.hostname}:{parts.port or 80}" not in ALLOW.split(","):
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nServer: squid\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
    if method == "CONNECT":
        host, port = url.rsplit(":", 1)
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        pump(client, server)
        return
    parts = urllib.parse.urlsplit(url)
    server = socket.create_connection((parts.hostname, parts.port or 80))
    lines = [text for text in head.split(b"\r\n\r\n")[0].split(b"\r\n")[1:] if not text.lower().startswith((b"connection", b"proxy-"))]
    server.sendall(b"\r\n".join([f"{method} {parts.path} HTTP/1.1".encode(), *lines, b"Connection: close", b"", b""]))
    sent = 0
    while data := server.recv(65536):
        if broken and sent + len(data) > 2000:
            client.sendall(data[: 2000 - sent])
            if FAULT == "stall":
                time.sleep(3600)
            return
        client.sendall(data)
        sent += len(data)


def converse(client):
    try:
        serve(client)
    except OSError:
        pass
    finally:
        client.close()


listener = socket.create_server(("0.0.0.0", PORT))
while True:
    threading.Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()
