"""What Shadowsocks writes into configurations. settings of a node: cipher, and server_key with the 2022 editions."""
import base64

KEY_LEN = {"2022-blake3-aes-128-gcm": 16, "2022-blake3-aes-256-gcm": 32, "2022-blake3-chacha20-poly1305": 32}


def node(cipher):
    """The settings of a node with that cipher, the key made as panels make it: of hexadecimal digits."""
    if cipher not in KEY_LEN:
        return {"cipher": cipher}
    return {"cipher": cipher, "server_key": base64.b64encode(b"0123456789abcdef"[:16] * (KEY_LEN[cipher] // 16)).decode()}


def _user_key(cipher, user):
    return base64.b64encode(user[:KEY_LEN[cipher]].encode()).decode()


def password(node, user):
    """What the user's client has."""
    cipher = node.settings["cipher"]
    if cipher not in KEY_LEN:
        return user
    if "chacha" in cipher:
        return node.settings["server_key"]
    return f"{node.settings['server_key']}:{_user_key(cipher, user)}"


class Shadowsocks:
    def panel(self, node):
        return dict(node.settings)

    def xray_outbound(self, node, client):
        return {"servers": [{"address": client.connect_to or node.listen, "port": node.port,
                             "method": node.settings["cipher"], "password": password(node, client.user)}]}

    def xray_inbound(self, node):
        cipher, both = node.settings["cipher"], {"network": "tcp,udp"}
        if cipher not in KEY_LEN:
            return {"clients": [{"method": cipher, "password": u, "email": f"user{i}"} for i, u in node.users], **both}
        if "chacha" in cipher:
            return {"method": cipher, "password": node.settings["server_key"], **both}
        return {"method": cipher, "password": node.settings["server_key"],
                "clients": [{"password": _user_key(cipher, u), "email": f"user{i}"} for i, u in node.users], **both}

    def singbox_outbound(self, node, client):
        return {"method": node.settings["cipher"], "password": password(node, client.user)}

    def singbox_inbound(self, node):
        cipher = node.settings["cipher"]
        if cipher not in KEY_LEN:
            return {"method": cipher, "users": [{"name": f"user{i}", "password": u} for i, u in node.users]}
        users = [] if "chacha" in cipher else [{"name": f"user{i}", "password": _user_key(cipher, u)}
                                                for i, u in node.users]
        return {"method": cipher, "password": node.settings["server_key"], **({"users": users} if users else {})}
