"""Serves a folder by https, on port 8443, with the gateway's certificate; each path that is asked for is a line of its output."""
import functools
import http.server
import ssl
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_request(self, code="-", size="-"):
        print(int(code), self.path, flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), functools.partial(Handler, directory=sys.argv[1]))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/gateway/clients.pem", "/etc/gateway/clients.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
