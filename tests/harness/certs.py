"""Throw-away ECDSA P-256 certificates, made with the openssl command."""
import os
import subprocess


class Certificate:
    def __init__(self, directory, name):
        self.name = name
        self.cert = os.path.join(directory, f"{name.replace('*', '_')}.crt")
        self.key = os.path.join(directory, f"{name.replace('*', '_')}.key")


def make(directory, name="node.test", extra_names=()):
    """A self-signed certificate for `name` and `extra_names`; clients may trust it as their root."""
    c = Certificate(str(directory), name)
    names = ",".join(f"DNS:{n}" for n in (name, *extra_names))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", c.key, "-out", c.cert, "-days", "30", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    return c
