"""Throw-away certificates, made with the openssl command, and TLS contexts of those who are visited."""
import os
import ssl
import subprocess


class Certificate:
    def __init__(self, directory, name):
        self.name = name
        self.cert = os.path.join(directory, f"{name.replace('*', '_')}.crt")
        self.key = os.path.join(directory, f"{name.replace('*', '_')}.key")


def authority(directory, name="a root"):
    """A certificate that issue() signs others with."""
    c = Certificate(str(directory), name.replace(" ", "-"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", c.key, "-out", c.cert,
                    "-days", "30", "-subj", f"/CN={name}"], check=True, capture_output=True)
    return c


def issue(directory, root, file, names):
    """A pair called `file` that `root` signed for `names`, such as "DNS:a.test,IP:192.0.2.1"."""
    c = Certificate(str(directory), file)
    made = subprocess.run(["openssl", "req", "-newkey", *EC, "-nodes", "-keyout", c.key, "-subj", f"/CN={file}",
                           "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-req", "-CA", root.cert, "-CAkey", root.key, "-CAcreateserial",
                    "-copy_extensions", "copy", "-days", "30", "-out", c.cert], check=True, capture_output=True,
                   input=made.stdout)
    return c


EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("rsa:2048",)         # signatures of one length


def make(directory, name="node.test", extra_names=(), key=EC):
    """A self-signed certificate for `name` and `extra_names`; clients may trust it as their root."""
    c = Certificate(str(directory), name)
    names = ",".join(f"DNS:{n}" for n in (name, *extra_names))
    subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes",
                    "-keyout", c.key, "-out", c.cert, "-days", "30", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName={names}"], check=True, capture_output=True)
    return c


VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(cert, version):
    """For a server of exactly this TLS version, "1.2" or "1.3"."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(cert.cert, cert.key)
    c.minimum_version = c.maximum_version = VERSIONS[version]
    return c
