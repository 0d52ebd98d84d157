"""TLS of the node: certificates by SNI, ALPN, versions, and the alerts that must be the Go server's."""
import shutil
import ssl
import subprocess

import pytest

from harness import certs, origins, ports, spec, v2sp, visit, vless


def node(cert, **more):
    return spec.Node(port=ports.free_port(), tls=True, cert=cert, **more)


def handshake(n, sni="node.test", **context):
    with vless.connect((n.listen, n.port), vless.tls_context(**context), sni) as s:
        return s.version(), s.selected_alpn_protocol(), s.getpeercert(binary_form=True)


def alert(n, sni="node.test", **context):
    """The number of the fatal alert that answers the ClientHello; None when there is another answer."""
    hello = ssl.MemoryBIO()
    try:
        vless.tls_context(**context).wrap_bio(ssl.MemoryBIO(), hello, server_hostname=sni).do_handshake()
    except ssl.SSLWantReadError:
        pass
    with vless.connect((n.listen, n.port)) as s:
        s.sendall(hello.read())
        answer = s.recv(7)
    return answer[6] if answer[0] == 0x15 and answer[5] == 2 else None


@pytest.fixture(scope="module", params=["auto", "openssl"])
def plain(module_stage, request):
    n = node(module_stage.cert, tls_engine=request.param)
    n.server = module_stage.server(n)
    return n


@pytest.mark.sanitizer
def test_versions(plain):
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    assert handshake(plain, low=v12, high=v12)[0] == "TLSv1.2"
    assert handshake(plain, low=v13, high=v13)[0] == "TLSv1.3"
    assert handshake(plain)[0] == "TLSv1.3"


@pytest.mark.sanitizer
def test_alpn(plain):
    """Default list h2, http/1.1: the server's order wins; without an offer there is none."""
    assert handshake(plain, alpn=["http/1.1"])[1] == "http/1.1"
    assert handshake(plain, alpn=["http/1.1", "h2"])[1] == "h2"
    assert handshake(plain)[1] is None


@pytest.mark.sanitizer
def test_alpn_mismatch_is_alert_120(plain):
    assert alert(plain, alpn=["acme-tls/1"]) == 120


def test_unknown_and_missing_sni_get_the_certificate(plain):
    for sni in ("other.test", None):
        assert handshake(plain, sni)[2]


@pytest.mark.sanitizer
@pytest.mark.parametrize("engine", ["auto", "openssl"])
def test_reject_unknown_sni_is_alert_112(module_stage, engine):
    n = node(module_stage.cert, reject_unknown_sni=True, tls_engine=engine)
    module_stage.server(n)
    assert handshake(n)[2]
    assert handshake(n, "NODE.test")[2]
    assert alert(n, "other.test") == 112
    assert alert(n, None) == 112


def test_wildcard_certificate(module_stage, tmp_path):
    n = node(certs.make(tmp_path, "*.wild.test"), reject_unknown_sni=True)
    module_stage.server(n)
    assert handshake(n, "a.wild.test")[2]
    assert alert(n, "a.b.wild.test") == 112


@pytest.mark.v2sp_only
def test_self_signed_survives_a_restart(stage):
    """Clients that pinned it go on: the certificate is kept in StateDir."""
    n = spec.Node(port=ports.free_port(), tls=True)
    served = v2sp.Served(n, stage.subdirectory("self")).start()
    stage.at_end(served.stop)
    first = handshake(n)[2]
    served.process.stop()
    served.start()
    assert handshake(n)[2] == first


@pytest.mark.v2sp_only
def test_missing_certificate_file_is_named(stage, tmp_path):
    broken = certs.Certificate(str(tmp_path), "nowhere")
    n = node(broken)
    served = v2sp.Served(n, stage.subdirectory("missing")).start(wait_port=False)
    stage.watch(served.process, served.stop)
    served.process.wait_log(r"nowhere\.(crt|key)", timeout=15)


def test_large_client_hello(plain, module_stage):
    """A hello over several segments, as with post-quantum key shares (sing-box with the Chrome profile)."""
    with origins.Tcp() as o:
        proxy = module_stage.client("sing-box", plain, spec.Client(fingerprint="chrome"))
        visit.download(proxy, o, 50_000)


# As uTLS imitates them; without one it is Go's own client. Not "randomized": some of its hellos hold a key share of a
# group they do not list, which OpenSSL refuses (RFC 8446 section 4.2.8).
FINGERPRINTS = ("", "chrome", "firefox", "safari", "ios", "edge", "android", "random")


@pytest.mark.parametrize("fingerprint", FINGERPRINTS)
@pytest.mark.parametrize("kind", ["xray", "sing-box"])
def test_fingerprints(plain, module_stage, kind, fingerprint):
    with origins.Tcp() as o:
        proxy = module_stage.client(kind, plain, spec.Client(fingerprint=fingerprint))
        visit.download(proxy, o, 50_000)
        visit.upload(proxy, o, 50_000)


@pytest.mark.parametrize("key", [certs.EC, certs.RSA, ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"), ("ed25519",)],
                         ids=["p256", "rsa", "p384", "ed25519"])
@pytest.mark.parametrize("engine", ["auto", "openssl"])
def test_kinds_of_keys(module_stage, tmp_path, engine, key):
    """Clients check the chain; gnutls-cli is one of another family, where it is installed."""
    cert = certs.make(tmp_path, "node.test", key=key)
    n = node(cert, tls_engine=engine)
    module_stage.server(n)
    assert handshake(n, ca=cert.cert)[0] == "TLSv1.3"
    for program, *words in (["openssl", "s_client", "-brief", "-verify_return_error", "-CAfile", cert.cert, "-connect",
                             f"{n.listen}:{n.port}", "-servername", "node.test"],
                            ["gnutls-cli", "--x509cafile", cert.cert, "-p", str(n.port), "--sni-hostname", "node.test",
                             "--verify-hostname", "node.test", n.listen]):
        if shutil.which(program):
            subprocess.run([program, *words], stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=15)
