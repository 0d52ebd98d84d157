"""AES-256-GCM (FIPS 197, NIST SP 800-38D), sealing one block or a few: what a REALITY session id needs."""


def _xtime(a):
    return (a << 1 ^ 0x11b) & 0xff if a & 0x80 else a << 1


def _make_sbox():
    box, p, q = [0] * 256, 1, 1
    while True:
        p ^= _xtime(p)                                  # times 3
        for shift in (1, 2, 4):                         # divided by 3
            q ^= q << shift & 0xff
        if q & 0x80:
            q ^= 0x09
        turns = q
        for n in (1, 2, 3, 4):
            turns ^= (q << n | q >> 8 - n) & 0xff
        box[p] = turns ^ 0x63
        if p == 1:
            box[0] = 0x63
            return box


SBOX = _make_sbox()


def _expand(key):
    words, rcon = [list(key[i:i + 4]) for i in range(0, 32, 4)], 1
    for i in range(8, 60):
        w = words[i - 1]
        if i % 8 == 0:
            w = [SBOX[b] for b in w[1:] + w[:1]]
            w[0] ^= rcon
            rcon = _xtime(rcon)
        elif i % 8 == 4:
            w = [SBOX[b] for b in w]
        words.append([a ^ b for a, b in zip(words[i - 8], w)])
    return [sum(words[i:i + 4], []) for i in range(0, 60, 4)]


def _block(keys, block):
    state = [a ^ b for a, b in zip(block, keys[0])]
    for rnd in range(1, 15):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]    # SubBytes and ShiftRows
        if rnd < 14:
            mixed = []
            for c in range(0, 16, 4):
                col = state[c:c + 4]
                mixed += [_xtime(col[i]) ^ _xtime(col[(i + 1) % 4]) ^ col[(i + 1) % 4] ^ col[(i + 2) % 4]
                          ^ col[(i + 3) % 4] for i in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, keys[rnd])]
    return bytes(state)


def _times(x, y):
    z = 0
    for i in range(127, -1, -1):
        if y >> i & 1:
            z ^= x
        x = x >> 1 ^ (0xe1 << 120 if x & 1 else 0)
    return z


def _ghash(h, data):
    y = 0
    for i in range(0, len(data), 16):
        y = _times(y ^ int.from_bytes(data[i:i + 16], "big"), h)
    return y


def seal(key, nonce, plain, aad):
    """Ciphertext and 16-byte tag; the nonce has 12 bytes."""
    keys = _expand(key)
    h = int.from_bytes(_block(keys, bytes(16)), "big")
    out = b""
    for i in range(0, len(plain), 16):
        pad = _block(keys, nonce + (i // 16 + 2).to_bytes(4, "big"))
        out += bytes(a ^ b for a, b in zip(plain[i:i + 16], pad))
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(out)).to_bytes(8, "big")
    tag = _ghash(h, aad + bytes(-len(aad) % 16) + out + bytes(-len(out) % 16) + lengths)
    return out + (tag ^ int.from_bytes(_block(keys, nonce + b"\0\0\0\1"), "big")).to_bytes(16, "big")
